/** Failures on a real engine, and what somebody reads about them who was told nothing else: the cause, first. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { readIfThere } from '@relight/agent/host/atomic-file';
import type { ApiIncident } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { freePort } from '../support/ports.ts';
import { listProcesses, signalProcess } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';

const docker = dockerApi(inject('engineSocket'));
const secret = 'hunter2-is-a-password';
let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  writeFileSync(join(lab.directory, 'secrets.env'), `TOKEN=${secret}\n`);
});
afterAll(async () => {
  await lab?.dispose();
});

const talker: WorkloadDocument = { process: { run: 'echo it begins; exec sleep infinity', stop_timeout: '1s' } };

async function withWorker(name: string, document: WorkloadDocument, body: (worker: Bystander) => Promise<void>): Promise<void> {
  const worker = await Bystander.ready(lab, name, inject('engineImage'), document);
  try {
    await body(worker);
  } finally {
    await worker.agent.service.stop();
  }
}

const incidentsOf = async (worker: Bystander, more: object = {}): Promise<readonly ApiIncident[]> =>
  (await lab.fleet.api.list<ApiIncident>('incidents', { host: worker.agent.host, workload: worker.workload, ...more })).items;

/**
 * The newest incident once it is over and `enough` of it has come; the list has no texts of evidence, this has. Its revisions and its
 * evidence come one by one, on a way of their own.
 */
async function over(worker: Bystander, enough: (incident: ApiIncident) => boolean = () => true): Promise<ApiIncident> {
  let last: ApiIncident | undefined;
  try {
    return await waitFor(
      async () => {
        const [newest] = await incidentsOf(worker);
        last = newest === undefined ? undefined : await lab.fleet.api.get<ApiIncident>(`incidents/${newest.id}`);
        return last !== undefined && last.closedAt !== null && enough(last) && last;
      },
      { timeoutMs: 45_000, everyMs: 200, what: 'the incident' },
    );
  } catch (error) {
    throw new Error(`it is ${JSON.stringify(last, null, 1).slice(0, 6_000)}`, { cause: error });
  }
}

const piece = (incident: ApiIncident, name: string): string => incident.evidence.find((item) => item.name === name)?.text ?? '';
const complete = (incident: ApiIncident): boolean =>
  ['inspect', 'disks', 'memory', 'mounts', 'engine', 'metrics', 'kernel', 'gpus'].every((name) =>
    incident.evidence.some((item) => item.name === name),
  ) && incident.evidence.every(({ bytes, text }) => bytes === 0 || text !== null);

test('killed with -9: cause, times, evidence and what the commands print; no secret anywhere', () =>
  withWorker(
    'killed',
    {
      container: { env_file: [join(lab.directory, 'secrets.env')] },
      process: { run: 'echo it begins; echo my token is $TOKEN; exec sleep infinity', stop_timeout: '1s' },
    },
    async (worker) => {
      const { id, pid } = await worker.container();
      // It is ready before it has said anything; what it never says is no evidence.
      await waitFor(async () => (await lab.fleet.logs({ host: 'killed', source: 'process', limit: 1 })).length > 0, {
        what: 'its first line',
      });
      signalProcess(pid, 'SIGKILL');
      const incident = await over(worker, (found) => complete(found) && piece(found, 'log:process') !== '');
      await worker.next(0, 'incident.closed');
      await worker.caughtUp();
      expect(incident).toMatchObject({
        host: 'killed',
        workload: 'killed',
        code: 'container-exited',
        level: 'container',
        exitCode: 137,
        oomKilled: false,
        attempts: { process: 0, container: 1, host: 0 },
        byHand: false,
      });
      expect(incident.cause).toContain('killed with SIGKILL from outside');
      // The engine writes down what has ended before it tells.
      const [toldAt = Number.NaN] = await docker.toldOf(id, 'die');
      expect(Date.parse(incident.openedAt) - toldAt).toBeLessThan(3_000);
      expect(incident.timeToDetectMs).toBeLessThan(3_000 + toldAt - Date.parse(incident.failedAt));
      expect(incident.timeToRecoverMs).toBeGreaterThan(0);
      expect(incident.stages.map(({ stage }) => stage)).toContain('verify');
      expect(piece(incident, 'log:process')).toContain('it begins');
      expect(JSON.parse(piece(incident, 'inspect'))).toMatchObject({ State: { ExitCode: 137 } });
      expect(piece(incident, 'disks')).toMatch(/free of/);
      expect((await worker.status()).lastIncidentId).toBe(incident.id);

      const events = await worker.events();
      const told = events.filter(({ data }) => data['incident'] === incident.id).map(({ kind }) => kind);
      // The end of its process may be seen before the engine has said anything: then that is what opened it.
      const failures = told.filter((kind) => kind !== 'incident.opened');
      expect(told[told.indexOf('incident.opened') - 1]).toBe(failures[0]);
      expect(failures.find((kind) => kind !== 'process.exited')).toBe('container.died');
      expect(told).toEqual(expect.arrayContaining(['incident.opened', 'restart.scheduled', 'workload.ready', 'incident.closed']));

      const listed = await lab.relight('incidents', '--host', 'killed');
      expect(listed.stdout).toContain(incident.id);
      const shown = await lab.relight('incidents', incident.id.slice(0, -1));
      expect(shown).toMatchObject({ code: 0 });
      expect(shown.stdout.split('\n').find((line) => line.startsWith('CAUSE'))).toContain('killed with SIGKILL from outside');
      expect(shown.stdout).toContain('it begins');
      const local = await lab.agentCommand(worker.agent, 'incidents', incident.id);
      expect(local.stdout).toContain(incident.cause);
      expect((await lab.agentCommand(worker.agent, 'incidents', incident.id, '--evidence', 'log:process')).stdout).toContain('it begins');

      for (const text of [JSON.stringify(incident), shown.stdout, local.stdout]) expect(text).not.toContain(secret);
      const files = join(worker.agent.stateDir, 'incidents', incident.id);
      for (const name of readdirSync(files)) {
        // What is written aside is renamed meanwhile, and that something is undelivered is over at some time.
        const written = readIfThere(join(files, name)) ?? '';
        expect((name.endsWith('.zst') ? zstdDecompressSync(written) : written).toString()).not.toContain(secret);
      }
    },
  ));

test('stopped through the engine: that somebody did it is the cause', () =>
  withWorker('by-hand', talker, async (worker) => {
    await docker.kill(worker.containerName);
    const { cause, code, exitCode } = await over(worker, (found) => found.code === 'stopped-by-hand');
    expect(cause).toContain('somebody ended the container through the engine (docker kill, SIGKILL)');
    expect({ code, exitCode }).toEqual({ code: 'stopped-by-hand', exitCode: 137 });
  }));

test('its process failed: how, and its last words', () =>
  withWorker(
    'exited',
    {
      process: {
        run: 'sleep 1; test -e /tmp/again && exec sleep infinity; touch /tmp/again; echo the sky fell >&2; exit 7',
        stop_timeout: '1s',
      },
    },
    async (worker) => {
      const incident = await over(worker, ({ evidence }) =>
        evidence.some(({ name, text }) => name === 'log:process' && (text ?? '') !== ''),
      );
      expect(incident).toMatchObject({
        code: 'process-exited',
        level: 'process',
        exitCode: 7,
        attempts: { process: 1, container: 0, host: 0 },
      });
      expect(incident.cause).toContain('exit code 7');
      expect(piece(incident, 'log:process')).toContain('the sky fell');
    },
  ));

test('out of memory: the kernel did it', () =>
  withWorker(
    'memory',
    {
      container: { mem_limit: '48mb', memswap_limit: '48mb' },
      process: { run: 'sleep 1; test -e /tmp/again && exec sleep infinity; touch /tmp/again; exec tail /dev/zero', stop_timeout: '1s' },
    },
    async (worker) => {
      const incident = await over(worker, ({ oomKilled, code }) => oomKilled && code === 'process-oom');
      expect(incident.cause).toMatch(/^the kernel killed .* for want of memory, container limit 48\.0 MiB/);
      expect(incident).toMatchObject({ code: 'process-oom', oomKilled: true });
    },
  ));

test.for([
  ['before the process', '0.1'],
  // Its end is seen before anybody has looked at the mount.
  ['with the process', '0.01'],
])('a mount that died %s: the mount', ([, pause]) =>
  withWorker(
    `mount-${pause}`,
    {
      container: { cap_add: ['SYS_ADMIN'], devices: ['/dev/fuse'], security_opt: ['apparmor=unconfined'] },
      setup: [{ name: 'source', run: 'mkdir -p /src && echo content > /src/file' }, { mount: 'data' }],
      mounts: [
        {
          name: 'data',
          type: 'command',
          run: 'exec bindfs -f --no-allow-other /src /data',
          target: '/data',
          check: { interval: '1s', timeout: '5s', failures: 2 },
        },
      ],
      process: { run: `while grep -q content /data/file; do sleep ${pause}; done; echo no content; exit 3`, stop_timeout: '500ms' },
      ready: [{ exec: 'grep -q content /data/file', interval: '200ms' }],
    },
    async (worker) => {
      const { id } = await worker.container();
      const daemon = listProcesses().find(({ cgroup, cmdline }) => cgroup.includes(id) && cmdline[0]?.endsWith('bindfs') === true);
      if (daemon === undefined) throw new Error('no bindfs runs');
      signalProcess(daemon.pid, 'SIGKILL');
      const { cause, code, attempts } = await over(worker);
      expect(code).toBe('mount-lost');
      expect(cause).toMatch(/^the mount data \(\/data\) died/);
      expect(attempts).toEqual({ process: 1, container: 0, host: 0 });
    },
  ),
);

test('the head went away while the worker was ready: the head, and no restart is counted', async () => {
  const head = createServer();
  const listen = (port: number): Promise<void> => new Promise((resolve) => head.listen(port, '127.0.0.1', resolve));
  const port = await freePort();
  await listen(port);
  const address = `127.0.0.1:${port}`;
  await withWorker(
    'dependent',
    {
      ...talker,
      depends_on: [{ tcp: address }],
      live: [{ tcp: address, interval: '300ms', timeout: '1s', failures: 2, restarts: 'process' }],
    },
    async (worker) => {
      await new Promise<void>((resolve) => head.close(() => resolve()));
      // It may be opened by the check, before the dependency has been asked.
      const open = await eventually(
        async () => {
          const [found] = await incidentsOf(worker, { state: 'open' });
          if (found === undefined) throw new Error('there is none');
          expect(found).toMatchObject({
            code: 'dependency-down',
            cause: expect.stringContaining(`the dependency ${address} does not answer`) as string,
          });
          return found;
        },
        { what: 'the open incident', timeoutMs: 30_000, everyMs: 100 },
      );
      await listen(port);
      expect(await over(worker)).toMatchObject({ id: open.id, code: 'dependency-down' });
      await worker.caughtUp();
      expect((await worker.status()).restarts).toEqual({ process: 0, container: 0, host: 0 });
    },
  );
  head.close();
});

test('held: what a person must do; open until it is done', async () => {
  const repository = `relight-missing-${process.pid}`;
  const image = `${repository}:latest`;
  const worker = await Bystander.start(lab, 'held', image, { container: { pull_policy: 'never' } });
  await worker.phase('held');
  const open = await waitFor(async () => (await incidentsOf(worker, { state: 'open' })).find(({ code }) => code === 'image-not-found'), {
    what: 'the open incident',
    timeoutMs: 30_000,
  });
  expect(open).toMatchObject({ code: 'image-not-found', closedAt: null, timeToRecoverMs: null });
  expect(open.cause).toContain(image);
  const shown = (await lab.relight('incidents', open.id)).stdout;
  expect(shown).toMatch(/OPEN for/);
  expect(shown).toMatch(/^you .*image/m);
  await docker.tag(inject('engineImage'), repository, 'latest');
  await worker.phase('ready');
  expect((await over(worker)).attempts).toEqual({ process: 0, container: 0, host: 0 });
  await worker.agent.service.stop();
});

test('the agent is killed in the middle: its next life closes the incident, once', () =>
  withWorker('agent-killed', { ...talker, setup: [{ name: 'slow', run: 'sleep 2' }] }, async (worker) => {
    const mark = await worker.mark();
    signalProcess((await worker.container()).pid, 'SIGKILL');
    await worker.next(mark, 'container.created');
    await worker.agent.service.kill();
    await worker.agent.service.start();
    const incident = await over(worker);
    expect(await incidentsOf(worker)).toHaveLength(1);
    await worker.next(mark, 'incident.closed');
    const kinds = (await worker.since(mark)).filter(({ data }) => data['incident'] === incident.id).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'incident.opened')).toHaveLength(1);
    expect(kinds.filter((kind) => kind === 'incident.closed')).toHaveLength(1);
  }));

test('the disk of the state directory is full: recovery goes on, and the incident is told all the same', async () => {
  const stateDir = join(lab.directory, 'hosts', 'disk-full', 'state');
  mkdirSync(stateDir, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', stateDir]);
  try {
    await withWorker('disk-full', talker, async (worker) => {
      execFileSync('sh', ['-c', `dd if=/dev/zero of='${join(stateDir, 'ballast')}' bs=64k 2>/dev/null; true`]);
      signalProcess((await worker.container()).pid, 'SIGKILL');
      const incident = await over(worker, complete);
      expect(incident).toMatchObject({ code: 'container-exited', exitCode: 137 });
      await worker.phase('ready');
      await waitFor(() => worker.agent.service.logTail(200).includes('incidents cannot be written'), { what: 'the agent to say so' });
    });
  } finally {
    execFileSync('umount', ['-l', stateDir]);
  }
});

test('a crash loop of thirty: thirty incidents, evidence for few', () =>
  withWorker(
    'loop',
    {
      process: {
        run: 'echo run >> /tmp/runs; n=$(wc -l < /tmp/runs); sleep 0.4; test $n -gt 30 && exec sleep infinity; seq 1 2000; exit 1',
        stop_timeout: '1s',
      },
      restart: {
        process: { initial: '20ms', max: '50ms', reset_after: '10m', budget: '100 per 10m', escalate_after: 1000 },
        container: { initial: '20ms', max: '50ms', reset_after: '10m', budget: '100 per 10m' },
      },
    },
    async (worker) => {
      await waitFor(
        async () => {
          const found = await incidentsOf(worker);
          return found.length >= 30 && found.every(({ closedAt }) => closedAt !== null);
        },
        // Each takes an exec and a commit or two, of a machine and a disk that are busy.
        { timeoutMs: 200_000, everyMs: 500, what: 'thirty incidents' },
      );
      // What evidence there is comes behind the incidents.
      await eventually(
        async () => {
          const incidents = await incidentsOf(worker);
          expect(incidents).toHaveLength(30);
          const oldestFirst = incidents.toReversed();
          const has = (name: string): number => oldestFirst.filter(({ evidence }) => evidence.some((item) => item.name === name)).length;
          expect(has('memory')).toBe(3);
          expect(has('log:process')).toBeLessThanOrEqual(10);
          expect(oldestFirst.at(-1)?.evidence).toMatchObject([{ name: 'note' }]);
        },
        { timeoutMs: 60_000, everyMs: 500, what: 'evidence for few' },
      );
      const directory = join(worker.agent.stateDir, 'incidents');
      const bytes = readdirSync(directory, { recursive: true }).reduce(
        // What is written aside is renamed meanwhile.
        (sum, name) => sum + (statSync(join(directory, String(name)), { throwIfNoEntry: false })?.size ?? 0),
        0,
      );
      expect(bytes).toBeLessThan(4 * 1024 ** 2);
    },
  ));
