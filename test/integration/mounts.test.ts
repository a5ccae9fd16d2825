/** Real FUSE mounts in real containers: placed, adopted, lost in every way, brought back. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MountSpec } from '@relight/agent/config/spec';
import type { MountProbeResult } from '@relight/agent/checks/probe';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { listProcesses, signalProcess, waitUntilStopped } from '../support/processes.ts';
import { type Bench, fuseContainer, startBench } from '../support/stage-bench.ts';
import { waitFor } from '../support/wait.ts';

const shared = { engineSocket: inject('engineSocket'), image: inject('engineImage') };
const target = '/mnt/data';
const check = { intervalMs: 100, timeoutMs: 5_000, failures: 1 };
const command = (text: string, more: Partial<MountSpec> = {}): MountSpec =>
  ({ name: 'data', type: 'command', target, timeoutMs: 30_000, check, run: { text }, ...more }) as MountSpec;
const bindfs = command(`mkdir -p /src && echo content > /src/file && exec bindfs -f --no-allow-other /src ${target}`);

let bench: Bench;
let pid = 0;
const directories: string[] = [];
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** On the host, readable for every user. */
function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'relight-test-'));
  chmodSync(directory, 0o755);
  directories.push(directory);
  return directory;
}

async function up(mount: MountSpec, container: NonNullable<Parameters<typeof startBench>[0]['container']> = fuseContainer): Promise<void> {
  bench = await startBench({ ...shared, mounts: [mount], container });
  pid = await bench.up();
}
const place = () => bench.op({ kind: 'mount', mount: 'data', run: bench.run('mount', 'data') });
/** Of a mount that answers or is gone: that takes as long as the machine takes to start a child. */
const probe = (timeoutMs = 10_000): Promise<MountProbeResult> =>
  bench.mountProbes.probe({ containerPid: pid, target, timeoutMs, signal: bench.signal });
const processes = (name: string): number[] =>
  listProcesses()
    .filter(({ cgroup, cmdline }) => cgroup.includes(bench.containerId) && cmdline[0]?.endsWith(name) === true)
    .map((process) => process.pid);
const daemon = (name = 'bindfs'): number => processes(name)[0] ?? 0;
/** `stat` children of this test that look at this container. */
const probers = (): number[] =>
  listProcesses()
    .filter(({ cmdline }) => cmdline.join(' ').includes(`/proc/${pid}/root${target}`))
    .map((process) => process.pid);
/** Empty: it is gone. */
function statusOf(one: number): string {
  try {
    return readFileSync(`/proc/${one}/status`, 'utf8');
  } catch {
    return '';
  }
}
/** Killed, and in a call that only the mount ends. */
const isStuck = (one: number): boolean => /^State:\tD/m.test(statusOf(one));
/** The daemon has been told to fall silent, and has: a look that only came late leaves no prober behind. */
const isMute = async (): Promise<boolean> => (await probe(300)).condition === 'hung' && probers().some(isStuck);
const contents = async (): Promise<string> => (await bench.engine.exec(bench.containerId, { argv: ['cat', `${target}/file`] })).stdout;

describe('placing', () => {
  it('makes the directory, runs the program and returns when the mount answers', async () => {
    await up(bindfs);
    expect((await probe()).condition).toBe('absent');
    const { run } = await place();
    expect(run).toMatchObject({ kind: 'mount', name: 'data' });
    expect(await probe()).toMatchObject({ condition: 'ok' });
    expect(await contents()).toBe('content\n');
  });

  it('adopts what is there and answers', async () => {
    await up(bindfs);
    await place();
    const before = daemon();
    expect((await place()).run).toBeNull();
    expect(daemon()).toBe(before);
  });

  it('waits for a program that goes into the background', async () => {
    await up(command(`mkdir -p /src && bindfs --no-allow-other /src ${target}`));
    await place();
    expect(await probe()).toMatchObject({ condition: 'ok' });
  });

  it('says with the last output why it failed, and when a person is needed', async () => {
    await up(bindfs, { ...fuseContainer, devices: [] });
    await expect(place()).rejects.toMatchObject({
      code: 'fuse-missing',
      recoverable: false,
      message: expect.stringContaining('fuse') as string,
    });
    expect(bench.logs.finished.size).toBe(1);
  });

  it('says what the program said when it ends with a code', async () => {
    await up(command('echo "token expired" >&2; exit 9'));
    await expect(place()).rejects.toMatchObject({
      code: 'mount-failed',
      recoverable: true,
      message: 'mount data: exit code 9: token expired',
    });
  });

  it('gives up after its time and leaves nothing running', async () => {
    await up(command('echo waiting; exec sleep 3001', { timeoutMs: 2_000 }));
    await expect(place()).rejects.toMatchObject({ message: expect.stringMatching(/within 2\.0 s: waiting/) as string });
    expect(processes('sleep').length).toBe(1);
  });

  it('names the real path when the target goes through a symbolic link', async () => {
    await up(
      command('mkdir -p /src /real && ln -s /real /link; mkdir -p /link/x; exec bindfs -f --no-allow-other /src /link/x', {
        target: '/lonk/x',
        timeoutMs: 3_000,
      }),
    );
    await expect(place()).rejects.toMatchObject({ recoverable: false, advice: expect.stringContaining('/real/x') as string });
  });

  it('runs gcsfuse with the flags of the configuration, byte for byte', async () => {
    const source = temporary();
    const stub =
      '#!/bin/sh\nprintf "<%s>" "$@" > /tmp/argv\nfor last; do :; done\nmkdir -p /src\nexec bindfs -f --no-allow-other /src "$last"\n';
    writeFileSync(join(source, 'gcsfuse'), stub, { mode: 0o755 });
    const volumes = [{ type: 'bind' as const, source, target: '/usr/local/bin', readOnly: true }];
    const gcsfuse: MountSpec = {
      name: 'data',
      type: 'gcsfuse',
      target,
      timeoutMs: 30_000,
      check,
      bucket: '/src',
      onlyDir: "a 'b' $HOME",
      implicitDirs: true,
      options: ['--foo=bar baz'],
    };
    await up(gcsfuse, { ...fuseContainer, volumes });
    await place();
    const { stdout } = await bench.engine.exec(bench.containerId, { argv: ['cat', '/tmp/argv'] });
    expect(stdout).toBe(`<--foreground><--implicit-dirs><--only-dir><a 'b' $HOME><--foo=bar baz></src><${target}>`);
    expect((await place()).run).toBeNull();
  });
});

describe('losing', () => {
  it('daemon killed: disconnected at once, and back', async () => {
    await up(bindfs);
    await place();
    signalProcess(daemon(), 'SIGKILL');
    await waitFor(async () => (await probe()).condition === 'disconnected', { what: 'ENOTCONN to be seen', everyMs: 5 });
    expect((await place()).run).not.toBeNull();
    expect(await probe()).toMatchObject({ condition: 'ok' });
    expect(await contents()).toBe('content\n');
  });

  it('daemon stopped: hung at the deadline, probers do not pile up, and back', async () => {
    await up(bindfs);
    await place();
    const stopped = daemon();
    signalProcess(stopped, 'SIGSTOP');
    // It has several threads: one that ran on at that moment would take a question along.
    waitUntilStopped(stopped);
    for (let i = 0; i < 3; i += 1) {
      const result = await probe(300);
      expect(result.condition).toBe('hung');
      expect(result.durationMs).toBeLessThan(5_000);
      await waitFor(() => probers().length === 0, { what: 'the prober to end' });
    }
    await place();
    expect(await probe()).toMatchObject({ condition: 'ok' });
    expect(processes('bindfs')).toHaveLength(1);
  });

  it('daemon that reads and never answers: one prober is parked, and freed by the way back', async () => {
    await up(command(`exec fuse-mute ${target}`));
    await place();
    signalProcess(daemon('fuse-mute'), 'SIGUSR1');
    await waitFor(isMute, { what: 'the mount to hang' });
    const parked = probers();
    expect(parked).toHaveLength(1);
    for (let i = 0; i < 5; i += 1) {
      const result = await probe(10_000);
      expect(result.condition).toBe('hung');
      // At once, not at its deadline.
      expect(result.durationMs).toBeLessThan(5_000);
    }
    expect(probers()).toEqual(parked);
    await place();
    expect(await probe()).toMatchObject({ condition: 'ok' });
    await waitFor(() => probers().length === 0, { what: 'the parked prober to end' });
  });

  it('a process that is stuck in it is named, and goes with the mount', async () => {
    await up(command(`exec fuse-mute ${target}`));
    await place();
    signalProcess(daemon('fuse-mute'), 'SIGUSR1');
    const stuck = bench.run('process');
    await bench.start(stuck, `exec stat -f ${target}`);
    await waitFor(async () => (await probe(300)).condition === 'hung', { what: 'the mount to hang' });
    // Its shell is stat from then on, and sleeps when it waits for the answer.
    const inContainer = () => listProcesses().filter(({ cgroup }) => cgroup.includes(bench.containerId));
    const waits = (one: number): boolean => /^Name:\tstat\n(?:.*\n)*?State:\tS/.test(statusOf(one));
    await waitFor(() => inContainer().some((process) => waits(process.pid)), { what: 'the process to wait for the mount' });
    await expect(bench.runs.stop([stuck], bench.containerId, 0, bench.signal)).rejects.toMatchObject({
      code: 'process-stuck',
      message: expect.stringMatching(/^1 processes survive SIGKILL: stat \(pid \d+, state D\)$/) as string,
    });
    await place();
    await bench.runs.stop([stuck], bench.containerId, 0, bench.signal);
  });

  it('dead mounts stacked on one another are all cleared', async () => {
    await up(command(`mkdir -p /src && exec bindfs -f --no-allow-other /src ${target}`));
    await place();
    const stack = `bindfs --no-allow-other /src ${target}; bindfs --no-allow-other /src ${target}`;
    expect(await bench.engine.exec(bench.containerId, { argv: ['sh', '-c', stack] })).toMatchObject({ exitCode: 0 });
    const daemons = processes('bindfs');
    expect(daemons).toHaveLength(3);
    for (const one of daemons) signalProcess(one, 'SIGKILL');
    // Each with all of its threads: one below that still answers would be taken for the mount.
    await waitFor(() => daemons.every((one) => statusOf(one) === ''), { what: 'all of them to be gone' });
    expect(await probe()).toMatchObject({ condition: 'disconnected' });
    await place();
    const { stdout } = await bench.engine.exec(bench.containerId, { argv: ['grep', '-c', target, '/proc/mounts'] });
    expect(stdout).toBe('1\n');
  });

  it('a volume below the mount is never unmounted, and is no mount of ours', async () => {
    const source = temporary();
    await up(bindfs, { ...fuseContainer, volumes: [{ type: 'bind', source, target, readOnly: false }] });
    expect(await probe()).toMatchObject({ condition: 'absent' });
    await place();
    signalProcess(daemon(), 'SIGKILL');
    await waitFor(async () => (await probe()).condition === 'disconnected', { what: 'ENOTCONN to be seen' });
    await place();
    const { stdout } = await bench.engine.exec(bench.containerId, { argv: ['grep', '-c', target, '/proc/mounts'] });
    expect(stdout).toBe('2\n');
  });

  it('a mount of another bucket makes way', async () => {
    const gcsfuse: MountSpec = {
      name: 'data',
      type: 'gcsfuse',
      target,
      timeoutMs: 2_000,
      check,
      bucket: 'right',
      onlyDir: null,
      implicitDirs: false,
      options: [],
    };
    await up(gcsfuse);
    const wrong = `mkdir -p /src ${target} && bindfs --no-allow-other /src ${target}`;
    await bench.engine.exec(bench.containerId, { argv: ['sh', '-c', wrong] });
    expect(await probe()).toMatchObject({ condition: 'ok' });
    // There is no gcsfuse in the image: what matters is that the wrong mount went first.
    await expect(place()).rejects.toMatchObject({ code: 'mount-failed' });
    expect(await probe()).toMatchObject({ condition: 'absent' });
  });
});
