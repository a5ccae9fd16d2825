/** The tests' own engine: what the tests of faults rely on. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DockerEngine } from '../../packages/agent/src/engine/docker-engine.ts';
import { createBody, fuseHostConfig } from '../support/create-body.ts';
import { removeAbandonedEngines, startPrivateEngine, type PrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { listProcesses } from '../support/processes.ts';
import { startBench } from '../support/stage-bench.ts';
import { eventually } from '../support/wait.ts';

const withContainer = async (daemon: PrivateEngine) => {
  const engine = new DockerEngine({ socketPath: daemon.socket });
  const { id } = await engine.create(
    'worker',
    createBody(await buildTestImage(daemon), ['sleep', '1000'], { HostConfig: fuseHostConfig, StopTimeout: 1 }),
  );
  await engine.start(id);
  return { engine, id, facts: await engine.inspect(id) };
};

/** Starts an engine with a network and a container of its own, says what that is, and waits to be killed. */
const killedTests = `
import { readFileSync } from 'node:fs';
const at = ${JSON.stringify(new URL('../support/', import.meta.url).href)};
const { dockerApi } = await import(at + 'docker-api.ts');
const { startPrivateEngine } = await import(at + 'engine.ts');
const { buildTestImage } = await import(at + 'image.ts');
const engine = await startPrivateEngine();
const docker = dockerApi(engine.socket);
const network = await docker.createNetwork('of-its-own');
const container = await docker.run('killed', await buildTestImage(engine), ['sleep', '1000'], { HostConfig: { NetworkMode: 'of-its-own' } });
const bridges = [readFileSync(engine.directory + '/bridge', 'utf8'), 'br-' + network.slice(0, 12)];
process.stdout.write(JSON.stringify({ directory: engine.directory, bridges, container }));
setInterval(() => undefined, 1000);
`;

const controlGroupsOf = (id: string): readonly string[] =>
  ['', ...readdirSync('/sys/fs/cgroup')].map((hierarchy) => join('/sys/fs/cgroup', hierarchy, 'docker', id)).filter(existsSync);

describe('a private engine', () => {
  it('keeps containers through a restart with live-restore, and only then', async () => {
    await using without = await startPrivateEngine();
    await using restoring = await startPrivateEngine({ liveRestore: true });
    const mortal = await withContainer(without);
    const lasting = await withContainer(restoring);
    await Promise.all([without.stop(), restoring.stop()]);
    await Promise.all([without.start(), restoring.start()]);
    expect(await mortal.engine.inspect(mortal.id)).toMatchObject({ status: 'exited' });
    expect(await lasting.engine.inspect(lasting.id)).toEqual(lasting.facts);
  });

  it('comes back after SIGKILL', async () => {
    await using daemon = await startPrivateEngine({ liveRestore: true });
    const { engine, id, facts } = await withContainer(daemon);
    await daemon.kill();
    await daemon.start();
    expect(await engine.inspect(id)).toEqual(facts);
  });

  it('leaves nothing behind, with a hung mount in a container and dockerd frozen', async () => {
    const daemon = await startPrivateEngine();
    const { directory } = daemon;
    const bridge = readFileSync(join(directory, 'bridge'), 'utf8');
    const { engine, id } = await withContainer(daemon);
    await engine.execDetached(id, { argv: ['fuse-mute', '--mute', '/mnt'] });
    await engine.exec(id, { argv: ['sh', '-c', 'until grep -q " /mnt fuse" /proc/mounts; do usleep 1000; done'] });
    await expect(engine.exec(id, { argv: ['ls', '/mnt'] }, { timeoutMs: 3_000 })).rejects.toMatchObject({ code: 'stage-timeout' });
    expect(networkInterfaces()[bridge]).toBeDefined();
    daemon.freeze();
    await daemon.dispose();
    await daemon.dispose();
    expect(existsSync(directory)).toBe(false);
    expect(
      listProcesses().filter(({ cmdline, cgroup }) => cgroup.includes(id) || cmdline.some((word) => word.includes(directory))),
    ).toEqual([]);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(directory);
    expect(networkInterfaces()[bridge]).toBeUndefined();
  });

  it('whose tests were killed is gone after the next start, with its networks and control groups; one that lives stays', async () => {
    await using living = await startPrivateEngine();
    const { id: livingId } = await withContainer(living);
    const tests = spawn(process.execPath, ['--input-type=module', '-e', killedTests], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [text] = (await once(tests.stdout.setEncoding('utf8'), 'data')) as [string];
    const left = JSON.parse(text) as { readonly directory: string; readonly bridges: readonly string[]; readonly container: string };
    expect(left.bridges.filter((bridge) => !existsSync(`/sys/class/net/${bridge}`))).toEqual([]);
    expect(controlGroupsOf(left.container)).not.toEqual([]);
    tests.kill('SIGKILL');
    await once(tests, 'exit');
    const lonely = `relight${1_000 + process.pid}`;
    execFileSync('busybox', ['ip', 'link', 'add', 'name', lonely, 'type', 'bridge']);
    // Its owner was killed before it had written down in its directory that it has one.
    writeFileSync(`/sys/class/net/${lonely}/ifalias`, `relight ${tests.pid} 17 ${readlinkSync('/proc/self/ns/pid')}`);
    await removeAbandonedEngines();
    // Tests that run beside these clean up as well whenever they start an engine, and may be at it at this moment.
    await eventually(
      () => {
        expect([lonely, ...left.bridges].filter((bridge) => existsSync(`/sys/class/net/${bridge}`))).toEqual([]);
        expect(existsSync(left.directory)).toBe(false);
        expect(controlGroupsOf(left.container)).toEqual([]);
        expect(listProcesses().filter(({ cgroup }) => cgroup.includes(left.container))).toEqual([]);
      },
      { what: 'everything of it to be gone', timeoutMs: 60_000 },
    );
    expect(living.pid).toBeDefined();
    expect(controlGroupsOf(livingId)).not.toEqual([]);
  });

  it('without a bridge refuses to rename what was started again; a container is set aside there all the same', async () => {
    await using daemon = await startPrivateEngine({ withoutBridge: true });
    const image = await buildTestImage(daemon);
    await using bench = await startBench({ engineSocket: daemon.socket, image, container: { networkMode: 'default' } });
    await bench.up();
    const old = bench.containerId;
    await bench.op({ kind: 'halt', containerId: old });
    await bench.op({ kind: 'start', containerId: old });
    const asName = `${bench.spec.container.name}-old-1`;
    await expect(bench.engine.rename(old, asName)).rejects.toMatchObject({ code: 'engine-error' });
    await bench.op({ kind: 'retire', containerId: old, asName, graceful: false });
    expect(await bench.engine.inspect(old)).toMatchObject({ name: asName, status: 'exited', pid: 0 });
    await bench.up();
    expect(await bench.engine.inspect(bench.containerId)).toMatchObject({ name: bench.spec.container.name, status: 'running' });
  });
});
