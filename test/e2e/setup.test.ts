/** The first run on a host, with the built agent and a real engine: what is found, written, checked, joined and then supervised. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '@relight/agent/control/client';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { stripVTControlCharacters } from 'node:util';
import { parse } from 'yaml';
import { dockerApi } from '../support/docker-api.ts';
import { FleetClient } from '../support/fleet-client.ts';
import { programs, runProgram } from '../support/lab.ts';
import { freePort } from '../support/ports.ts';
import { cleanEnvironment, Service } from '../support/service.ts';
import { waitFor } from '../support/wait.ts';

const engineSocket = inject('engineSocket');
const docker = dockerApi(engineSocket);
const image = inject('engineImage');
const directory = mkdtempSync(join(tmpdir(), 'relight-setup-'));
const trainer = `e2e-setup-trainer-${process.pid}`;
const shortLived = `e2e-setup-once-${process.pid}`;
const kept = `e2e-setup-kept-${process.pid}`;
const services: Service[] = [];
let trainerId: string;

interface Written {
  readonly host?: object;
  readonly vars?: object;
  readonly workloads: readonly { readonly name: string; readonly container: object }[];
}

/** Of a host of its own: configuration, state, and the directory from which it is set up. */
class Host {
  readonly home: string;
  readonly config: string;
  readonly stateDir: string;

  constructor(name: string) {
    this.home = join(directory, name);
    this.config = join(this.home, 'etc/relight/agent.yaml');
    this.stateDir = join(this.home, 'state');
    mkdirSync(join(this.home, 'cwd'), { recursive: true });
  }

  words(...flags: readonly string[]): readonly string[] {
    return [programs.agent, 'setup', '--config', this.config, '--state-dir', this.stateDir, '--socket', engineSocket, ...flags];
  }

  /** stdin is no terminal. */
  setup(...flags: readonly string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
    const options = { cwd: join(this.home, 'cwd'), env: { ...cleanEnvironment(), HOME: join(this.home, 'cwd') } };
    return new Promise((resolve) => {
      execFile(process.execPath, this.words(...flags), options, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
      });
    });
  }

  written(): Written {
    return parse(readFileSync(this.config, 'utf8')) as Written;
  }

  async start(): Promise<ControlClient> {
    const args = [programs.agent, 'run', '--config', this.config];
    const service = new Service({ name: 'agent', args, logFile: join(this.home, 'agent.log') });
    services.push(service);
    await service.start();
    return new ControlClient(this.stateDir);
  }
}

beforeAll(async () => {
  trainerId = await docker.run(trainer, image, ['sleep', 'infinity'], { HostConfig: { RestartPolicy: { Name: 'always' } } });
  await docker.run(shortLived, image, ['sleep', 'infinity'], { HostConfig: { AutoRemove: true } });
});
afterAll(async () => {
  for (const service of services.toReversed()) await service.kill();
  for (const name of [trainer, shortLived, kept]) await docker.remove(name);
  rmSync(directory, { recursive: true, force: true });
});

test('a container that runs is found, its configuration written and checked, and the agent takes it over as it runs', async () => {
  const host = new Host('adopts');
  const shown = await host.setup('--yes', '--dry-run');
  expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining(`container: { adopt: ${trainer} }`) as string });
  expect(existsSync(host.config)).toBe(false);

  const done = await host.setup('--yes', '--host', 'setup-host', '--label', 'pool=v5e');
  expect(done.stdout).toContain(`${host.config} is written`);
  expect(done.stdout).toContain(`${trainer}: the container ${trainer} will be taken over as it runs`);
  expect(done.stdout).toMatch(/\n0 errors, \d+ warnings?\n/);
  expect(done.stdout).toContain(`start the agent: relight-agent run --config ${host.config}`);
  expect(done.code).toBe(0);
  expect(statSync(host.config).mode & 0o777).toBe(0o600);
  const { host: named, workloads } = host.written();
  expect(named).toEqual({ name: 'setup-host', labels: { pool: 'v5e' } });
  expect(workloads).toContainEqual({ name: trainer, container: { adopt: trainer } });
  // It would have to be removed first: nobody proposes that.
  expect(workloads.map(({ name }) => name)).not.toContain(shortLived);

  const before = readFileSync(host.config, 'utf8');
  const again = await host.setup('--yes', '--host', 'other');
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing was changed') as string });
  expect(readFileSync(host.config, 'utf8')).toBe(before);
  expect(readdirSync(join(host.config, '..'))).toEqual(['agent.yaml']);

  const control = await host.start();
  await waitFor(async () => (await control.status().catch(() => null))?.workloads.find(({ name }) => name === trainer)?.phase === 'ready', {
    timeoutMs: 60_000,
    everyMs: 100,
    what: 'the container to be taken over',
  });
  expect(await docker.inspect(trainer)).toMatchObject({
    Id: trainerId,
    State: { Running: true },
    HostConfig: { RestartPolicy: { Name: 'no' } },
  });
});

test('a container that cannot be taken over is written as it is imported, and what stands in the way is said', async () => {
  const host = new Host('describes');
  const done = await host.setup('--container', shortLived, '--no-collector');
  const imported = await runProgram([programs.agent, 'import', 'container', shortLived, '--socket', engineSocket], {});
  expect(host.written().workloads).toEqual((parse(imported.stdout) as Written).workloads);
  expect(done.stdout).toContain(`docker rm -f ${shortLived}`);
  expect(done.stderr).toContain(imported.stderr.trim());
});

test('a Ray cluster file beside it is found, and becomes what import ray makes of it', async () => {
  const host = new Host('ray');
  const file = join(host.home, 'cwd/cluster.yaml');
  const cluster = `cluster_name: lab
provider: {type: local, head_ip: 127.0.0.1}
docker: {image: "${image}", container_name: ray_lab, pull_before_run: false}
setup_commands: [touch /tmp/x || true]
worker_start_ray_commands: ["ray start --address=$RAY_HEAD_IP:6379"]
`;
  writeFileSync(file, cluster);
  const found = await host.setup('--yes', '--dry-run', '--ray-yaml', file);
  const imported = await runProgram([programs.agent, 'import', 'ray', file, '--socket', engineSocket], {});
  const { vars, workloads } = parse(imported.stdout) as Written;
  expect(parse(found.stdout)).toMatchObject({ vars, workloads: [{ ...workloads[0], container: { name: 'ray_lab' } }] });
  expect(found.stderr).toContain(`${file}:4: `);

  // It is left by who made it, and may be named by anybody.
  chmodSync(file, 0o666);
  expect((await host.setup('--yes', '--dry-run')).stderr).toContain(`${file}: others than its owner may write it`);

  const alone = await host.setup('--yes', '--ray-yaml', file, '--socket', join(directory, 'none.sock'));
  expect(alone.code).toBe(1);
  expect(host.written().workloads.map(({ name }) => name)).toEqual(['ray-worker']);
  const plan = await runProgram([programs.agent, 'plan', '--config', host.config], {});
  expect(plan.stdout).toContain('ray-worker');
});

describe('what is missing is said', () => {
  test('an engine', async () => {
    const host = new Host('bare');
    const away = ['--yes', '--socket', join(directory, 'none.sock')];
    const said = expect.stringMatching(/engine .*no Docker Engine at .*none\.sock\n.*→ Install one/) as string;
    expect(await host.setup(...away)).toMatchObject({ code: 3, stdout: '', stderr: said });
    expect(readdirSync(host.home)).toEqual(['cwd']);
    const done = await host.setup(...away, '--no-workloads');
    expect(done).toMatchObject({ code: 1, stderr: said });
    expect(host.written().workloads).toEqual([]);
    expect(done.stdout).toMatch(/Next:\n {2}- correct what check calls an error/);
  });

  test('a terminal', async () => {
    const host = new Host('piped');
    const done = await host.setup();
    expect(done).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/--container NAME.*--no-collector[^]*--yes --dry-run/) as string,
    });
    expect(existsSync(host.config)).toBe(false);
  });

  test('a container', async () => {
    const done = await new Host('typo').setup('--yes', '--container', 'trainr');
    expect(done).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/there is no container named "trainr"\nLook at: docker ps --all/) as string,
    });
  });

  test('what is wrong with a file that is there, which --force replaces and keeps', async () => {
    const host = new Host('there');
    mkdirSync(join(host.config, '..'), { recursive: true });
    writeFileSync(host.config, 'version: 1\nworkload: []\n');
    expect(await host.setup('--yes')).toMatchObject({ code: 2, stderr: expect.stringContaining(`${host.config}:2:1`) as string });
    await host.setup('--yes', '--no-workloads', '--force');
    expect(host.written().workloads).toEqual([]);
    expect(readFileSync(`${host.config}.bak`, 'utf8')).toBe('version: 1\nworkload: []\n');
  });

  test('what --force would take from an agent that runs', async () => {
    const host = new Host('runs');
    await docker.run(kept, image, ['sleep', 'infinity'], {});
    expect((await host.setup('--yes', '--container', kept)).code).toBe(0);
    const config = readFileSync(host.config, 'utf8');
    const control = await host.start();
    await waitFor(async () => (await control.status().catch(() => null))?.workloads.some(({ name }) => name === kept), {
      timeoutMs: 60_000,
      everyMs: 100,
      what: 'the agent to answer',
    });
    expect(await host.setup('--yes', '--no-workloads', '--force')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`: workload ${kept}\n`) as string,
    });
    expect(readFileSync(host.config, 'utf8')).toBe(config);
    // It goes on with what it has read.
    writeFileSync(host.config, 'workloads: [');
    expect(await host.setup('--yes', '--no-workloads', '--force')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`keeps ${kept}: a new file would take its place`) as string,
    });
    expect(readFileSync(host.config, 'utf8')).toBe('workloads: [');
  });
});

/** A person at a terminal, which `script` makes, with so many columns. */
class Person {
  readonly #child: ChildProcess;
  #screen = '';
  readonly #ended: Promise<number | null>;

  constructor(host: Host, columns = 400) {
    const line = [process.execPath, ...host.words()].map((word) => `'${word}'`).join(' ');
    const env = { ...cleanEnvironment(), TERM: 'dumb', SHELL: '/bin/sh', HOME: join(host.home, 'cwd') };
    this.#child = spawn('script', ['-qec', `stty columns ${columns}; ${line}`, '/dev/null'], {
      cwd: join(host.home, 'cwd'),
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.#screen += chunk.toString()));
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  async answers(question: RegExp, answer: string): Promise<void> {
    await waitFor(() => question.test(this.#screen), { timeoutMs: 60_000, everyMs: 20, what: `${question} on:\n${this.#screen}` });
    this.#child.stdin?.write(answer);
  }

  async leaves(): Promise<{ readonly code: number | null; readonly screen: string }> {
    return { code: await this.#ended, screen: this.#screen.replaceAll('\r', '') };
  }
}

describe('at a terminal', () => {
  /** Whatever its certificate. */
  const accepts = (port: number): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.end(() => resolve(true)));
      socket.once('error', () => resolve(false));
    });

  test('three answers, one of them the line that init has printed, make a host of the collector', async () => {
    const dataDir = join(directory, 'collector');
    const port = await freePort();
    const init = await runProgram([programs.collector, 'init', '--json', '--url', `https://127.0.0.1:${port}`, '--data-dir', dataDir], {});
    const made = JSON.parse(init.stdout) as { url: string; fingerprint: string; operatorToken: string; join: string };
    const collector = new Service({
      name: 'collector',
      args: [programs.collector, 'serve', '--listen', `127.0.0.1:${port}`, '--data-dir', dataDir],
      logFile: join(directory, 'collector.log'),
      isUp: () => accepts(port),
    });
    services.push(collector);
    await collector.start();

    const host = new Host('asked');
    const person = new Person(host);
    await person.answers(/1\. Which[^]*\]: /, 'none\r');
    const pin = made.join.split(' ').at(-1) ?? '';
    const last = pin.at(-1) ?? '';
    const mistyped = `${pin.slice(0, -1)}${last === '0' ? '1' : '0'}`;
    await person.answers(/2\. Which[^]*\]: /, `${made.join.replace(pin, mistyped)}\r`);
    await person.answers(/3\. What[^]*: $/, 'asked-1 pool=v5e\r');
    // Nobody begins anew for a wrong digit: what was seen, what was given, and the question again.
    await person.answers(
      new RegExp(`fingerprint ${made.fingerprint}, not the pinned ${mistyped}[^]*A typo[^]*once more[^]*\\]: $`),
      `${made.join}\r`,
    );
    const { code, screen } = await person.leaves();
    expect(screen).toContain(`asked-1 has joined ${made.url}`);
    expect(screen).toContain(`${host.config} is written`);
    expect(code).toBe(0);
    expect(readFileSync(host.config, 'utf8')).not.toContain('rlj_');
    await host.start();
    const fleet = new FleetClient(made.url, made.operatorToken, made.fingerprint);
    expect(await fleet.waitForHost('asked-1', 'connected')).toMatchObject({ labels: { pool: 'v5e' } });
  });

  test('Ctrl-C leaves nothing half done', async () => {
    const host = new Host('left');
    const person = new Person(host, 80);
    await person.answers(/1\. Which[^]*\]: /, 'none\r');
    await person.answers(/2\. Which[^]*\]: /, '\u0003');
    const { code, screen } = await person.leaves();
    expect(code).toBe(130);
    expect(screen).toContain('Nothing was changed on this host.');
    // No word is broken at the edge.
    for (const line of stripVTControlCharacters(screen).split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(readdirSync(host.home)).toEqual(['cwd']);
  });

  test('Ctrl-C ends the wait for a collector that does not answer, too', async () => {
    const silent = createServer();
    const reached = once(silent, 'connection');
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const host = new Host('waits');
    const person = new Person(host);
    await person.answers(/1\. Which[^]*\]: /, 'none\r');
    await person.answers(/2\. Which[^]*\]: /, `http://127.0.0.1:${(silent.address() as AddressInfo).port} rlj_test\r`);
    await person.answers(/3\. What[^]*: $/, 'waits\r');
    const [connection] = (await reached) as [Socket];
    await person.answers(/3\. What/, '\u0003');
    const { code, screen } = await person.leaves();
    connection.destroy();
    silent.close();
    expect(code).toBe(130);
    // Whether it was counted there knows only the one that did not answer.
    expect(screen).toMatch(/Nothing was changed on this host\. http:\S+ may have counted the join token/);
    expect(readdirSync(host.home)).toEqual(['cwd']);
  });
});
