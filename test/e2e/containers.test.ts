/** Somebody does things to containers beside Relight, or they fail by themselves: always back, and never a word too much. */
import type { ApiEvent, ApiIncident, ApiWorkload } from '@relight/shared/api';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { at, Bystander, type WorkloadDocument } from '../support/bystander.ts';
import { dockerApi } from '../support/docker-api.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { signalProcess } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';

const docker = dockerApi(inject('engineSocket'));
const image = inject('engineImage');
let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(async () => {
  await lab?.dispose();
});

/** Of a live check that must not fail because the machine is busy. */
const liveMs = 8_000;
const nameBack = { what: 'the name to be back', timeoutMs: 30_000 };
/** The making of a container takes as long as the machine lets it: what is prompt is the beginning. */
const leftHeld = ({ data }: ApiEvent): boolean => data['from'] === 'held';
/** What is not tried at once is not tried within a test. */
const slow = { initial: '60s', max: '10m', reset_after: '10m', budget: '20 per 10m' };
const slowRestart = { process: slow, container: slow };

const steps: WorkloadDocument = {
  setup: [
    { name: 'kept', run: 'echo done >> /kept', verify: 'test -s /kept' },
    { name: 'again', run: 'echo done >> /again' },
  ],
  process: { run: 'n=0; while :; do n=$((n + 1)); echo "step $n"; sleep 0.2; done', stop_timeout: '1s' },
  ready: [{ exec: 'test -s /again', interval: '200ms' }],
};

async function withWorker(name: string, document: WorkloadDocument, body: (worker: Bystander) => Promise<void>): Promise<void> {
  const worker = await Bystander.ready(lab, name, image, document);
  try {
    await body(worker);
  } finally {
    await worker.agent.service.stop();
  }
}

/** Ready again after the mark, as one container with everything in it; returns what is counted. */
async function readyAgain(worker: Bystander, mark: number): Promise<Pick<ApiWorkload, 'generation' | 'restarts'>> {
  await worker.next(mark, 'workload.ready');
  await worker.phase('ready');
  await worker.caughtUp();
  expect((await worker.running()).map(({ name }) => name)).toEqual([worker.containerName]);
  expect(await worker.exec('cat', '/again')).toBe('done\n');
  const { generation, restarts } = await worker.status();
  return { generation, restarts };
}

const oneRestart = { process: 0, container: 1, host: 0 };

describe('by hand', () => {
  test('docker rm -f: a new container, nobody says that it died by itself', () =>
    withWorker('removed', steps, async (worker) => {
      const mark = await worker.mark();
      await docker.remove(worker.containerName);
      expect(await readyAgain(worker, mark)).toEqual({ generation: 2, restarts: oneRestart });
      const kinds = await worker.kindsSince(mark);
      expect(kinds).toContain('container.removed');
      expect(kinds).not.toContain('container.died');
    }));

  test('docker rename: it gets its name back, and nothing else happens', () =>
    withWorker('renamed', steps, async (worker) => {
      const { id, pid } = await worker.container();
      const before = await worker.status();
      const mark = await worker.mark();
      await docker.rename(worker.containerName, `${worker.containerName}-elsewhere`);
      await waitFor(async () => (await lab.engine.inspect(worker.containerName))?.id === id, nameBack);
      expect(await worker.container()).toMatchObject({ id, pid });
      await worker.phase('ready');
      await worker.next(mark, 'host.notice', ({ workload }) => workload === worker.workload);
      await worker.caughtUp();
      expect(await worker.status()).toMatchObject({ readyAt: before.readyAt, generation: before.generation, restarts: before.restarts });
      // What the machine itself has to say meanwhile is nobody's doing here.
      const told = (await worker.since(mark)).filter(({ workload }) => workload === worker.workload);
      expect(told.map(({ kind }) => kind)).toEqual(['host.notice']);
    }));

  test('docker rename, and somebody takes the name: it goes on, degraded, and is itself again when the name is free', () =>
    withWorker('robbed', steps, async (worker) => {
      const { id, pid } = await worker.container();
      const mark = await worker.mark();
      // Stopped, so that the thief is the faster one.
      worker.agent.service.freeze();
      await docker.rename(worker.containerName, `${worker.containerName}-elsewhere`);
      const thief = await docker.run(worker.containerName, image, ['sleep', '3000']);
      worker.agent.service.thaw();
      try {
        const degraded = await worker.next(mark, 'workload.degraded');
        expect(degraded.message).toContain('does not manage');
      } finally {
        await docker.remove(thief);
      }
      await waitFor(async () => (await lab.engine.inspect(worker.containerName))?.id === id, nameBack);
      await worker.phase('ready');
      await worker.caughtUp();
      expect(await worker.container()).toMatchObject({ id, pid });
      expect(await worker.kindsSince(mark)).not.toContain('container.died');
    }));

  test('docker pause and unpause: degraded and ready again, the same process', () =>
    withWorker(
      'frozen',
      { ...steps, live: [{ exec: 'true', interval: '200ms', timeout: `${liveMs}ms`, failures: 1, restarts: 'process' }] },
      async (worker) => {
        const { id, pid } = await worker.container();
        const before = await worker.status();
        const mark = await worker.mark();
        await docker.pause(worker.containerName);
        expect((await worker.phase('degraded')).reason).toContain('docker pause');
        const until = performance.now() + liveMs + 500;
        await waitFor(() => performance.now() > until, { what: 'the deadline of a check that was under way', timeoutMs: 2 * liveMs });
        await docker.unpause(worker.containerName);
        await worker.phase('ready');
        await worker.caughtUp();
        expect(await worker.container()).toMatchObject({ id, pid });
        expect((await worker.status()).restarts).toEqual(before.restarts);
        expect((await worker.kindsSince(mark)).filter((kind) => /died|exited|killed|restart/.test(kind))).toEqual([]);
      },
    ));

  test('docker stop: a new container', () =>
    withWorker('stopped', steps, async (worker) => {
      const mark = await worker.mark();
      await docker.stop(worker.containerName, 1);
      expect(await readyAgain(worker, mark)).toEqual({ generation: 2, restarts: oneRestart });
    }));

  test('docker restart: one container runs, everything in it anew', () =>
    withWorker('restarted', steps, async (worker) => {
      const mark = await worker.mark();
      await docker.restart(worker.containerName, 1);
      await worker.next(mark, 'workload.ready');
      await worker.phase('ready');
      await waitFor(async () => (await worker.running()).length === 1, { what: 'one container to run', timeoutMs: 30_000 });
      await worker.caughtUp();
      expect((await worker.running())[0]?.name).toBe(worker.containerName);
      // An agent that is short of CPU looks when the engine has started it again already: a restart as well, of somebody else's.
      const { restarts, foreignRestarts = 0 } = await worker.status();
      expect({ process: restarts.process, container: restarts.container + foreignRestarts }).toEqual({ process: 0, container: 1 });
      expect(await worker.exec('cat', '/again')).toMatch(/^(done\n)+$/);
    }));

  test('docker update --restart: said once with how to undo it; what the engine then starts is the cause by its name', () =>
    withWorker('policy', steps, async (worker) => {
      const mark = await worker.mark();
      await docker.giveRestartPolicy(worker.containerName, 'always');
      signalProcess((await worker.container()).pid, 'SIGKILL');
      const notice = await worker.next(mark, 'host.notice', ({ data }) => data['condition'] === 'restart-policy');
      const advice = expect.stringContaining(`docker update --restart no ${worker.containerName}`) as string;
      expect(notice).toMatchObject({ severity: 'warning', data: { subject: worker.containerName, advice } });
      await worker.next(mark, 'workload.ready');
      await worker.phase('ready');
      await waitFor(async () => (await worker.running()).length === 1, { what: 'one container to run', timeoutMs: 30_000 });
      await eventually(
        async () => {
          const { items } = await lab.fleet.api.list<ApiIncident>('incidents', { host: worker.agent.host });
          expect(items[0]).toMatchObject({ advice, cause: expect.stringContaining("the engine's restart policy always") as string });
        },
        { what: 'the incident', timeoutMs: 30_000, everyMs: 200 },
      );
      // A new container has none; the same one gets rid of it in this way.
      await docker.giveRestartPolicy(worker.containerName, 'no');
      await worker.next(mark, 'host.notice', ({ data }) => data['condition'] === 'restart-policy' && data['state'] === 'cleared');
      const raised = (await worker.since(mark)).filter(({ data }) => data['condition'] === 'restart-policy' && data['state'] === 'raised');
      expect(raised).toHaveLength(1);
    }));
});

test('image deleted and container killed: held with the reason; back when the image is there again', () => {
  const tagged = `relight-e2e-${process.pid}`;
  const more = { container: { image: `${tagged}:1` }, restart: slowRestart };
  return docker.tag(image, tagged, '1').then(() =>
    withWorker('imageless', { ...steps, ...more }, async (worker) => {
      const mark = await worker.mark();
      await docker.removeImage(`${tagged}:1`);
      await docker.kill(worker.containerName);
      const held = await worker.next(mark, 'workload.held');
      expect(held.message).toContain(`${tagged}:1 is not on this host`);
      await worker.phase('held');
      const builtAt = Date.now();
      await docker.tag(image, tagged, '1');
      try {
        await worker.next(Number(held.id), 'workload.ready', undefined, 60_000);
        expect(at(await worker.next(Number(held.id), 'workload.phase-changed', leftHeld)) - builtAt).toBeLessThan(5_000);
        await worker.caughtUp();
        expect((await worker.status()).restarts).toMatchObject({ container: 1 });
      } finally {
        await docker.removeImage(`${tagged}:1`);
      }
    }),
  );
});

test('the name is held by a foreign container: held with whose it is, back by itself when the name is free', async () => {
  const name = `e2e-foreign-${process.pid}`;
  const foreign = await docker.run(name, image, ['sleep', '3000']);
  const worker = await Bystander.start(lab, 'foreign', image, { ...steps, restart: slowRestart });
  try {
    const held = await worker.next(0, 'workload.held');
    expect(held.message).toContain(`the name "${name}" is held by a container that Relight does not manage (${foreign.slice(0, 12)}`);
    expect((await worker.phase('held')).reason).toContain('Remove the other container');
    expect((await lab.engine.inspect(name))?.id).toBe(foreign);
    const freedAt = Date.now();
    await docker.remove(foreign);
    await worker.next(0, 'workload.ready', undefined, 60_000);
    expect(at(await worker.next(0, 'workload.phase-changed', leftHeld)) - freedAt).toBeLessThan(5_000);
    expect((await worker.since(0)).filter(({ kind }) => kind === 'workload.held')).toHaveLength(1);
  } finally {
    await worker.agent.service.stop();
  }
});

describe('by itself', () => {
  test('a child runs out of memory while the container lives: said, and the container stays', () =>
    withWorker('oom', { ...steps, container: { mem_limit: '64mb', memswap_limit: '64mb' } }, async (worker) => {
      const { id, pid } = await worker.container();
      const mark = await worker.mark();
      await expect(worker.exec('sh', '-c', 'tail /dev/zero')).rejects.toThrow(/exit code/);
      const oom = await worker.next(mark, 'container.oom');
      expect(oom.severity).toBe('warning');
      await worker.phase('ready');
      expect(await worker.container()).toMatchObject({ id, pid });
      expect(await worker.kindsSince(mark)).not.toContain('container.died');
    }));

  test.each([
    ['exits-at-once', ['sh', '-c', 'echo no such bucket; exit 3'], /exited with code 3/],
    ['no-program', ['/no/such/program'], /no\/such\/program/],
  ])('a container that cannot live (%s): back-off, with a reason that names it', async (name, command, reason) => {
    const worker = await Bystander.start(lab, name, image, { container: { command, init: false } });
    try {
      await worker.next(0, 'restart.scheduled', ({ data }) => data['attempt'] === 3);
      const scheduled = (await worker.events()).filter(({ kind }) => kind === 'restart.scheduled');
      expect(scheduled.map(({ data }) => data['level'])).toEqual(scheduled.map(() => 'container'));
      expect(scheduled[0]?.message).toMatch(reason);
      expect(Number(scheduled[2]?.data['delayMs'])).toBeGreaterThan(Number(scheduled[0]?.data['delayMs']));
      expect((await worker.phase('back-off')).reason).toMatch(reason);
      expect((await worker.status()).restarts.process).toBe(0);
    } finally {
      await worker.agent.service.stop();
    }
  });

  test('on_death: start starts the same container, and only what does not verify is done again', () =>
    withWorker('same', { ...steps, container: { on_death: 'start' } }, async (worker) => {
      const { id } = await worker.container();
      const before = await worker.status();
      const mark = await worker.mark();
      await docker.kill(worker.containerName);
      await worker.next(mark, 'workload.ready');
      await worker.phase('ready');
      await worker.caughtUp();
      expect((await worker.container()).id).toBe(id);
      expect((await worker.status()).generation).toBe(before.generation);
      expect(await worker.exec('cat', '/kept')).toBe('done\n');
      expect(await worker.exec('cat', '/again')).toBe('done\ndone\n');
      expect((await worker.kindsSince(mark)).filter((kind) => kind === 'container.died')).toHaveLength(1);
    }));

  test('as another user: steps, process and their output', () =>
    withWorker(
      'user-1000',
      {
        container: { user: '1000', working_dir: '/home/ray' },
        setup: [{ name: 'who', run: 'echo "step as $(id -u)" && echo there > /dev/shm/there' }],
        process: { run: 'echo "process as $(id -u)"; exec sleep 3000', stop_timeout: '1s' },
        ready: [{ exec: 'test -O /dev/shm/there', interval: '200ms' }],
      },
      async (worker) => {
        const lines = async (): Promise<readonly string[]> =>
          (await lab.fleet.logs({ host: worker.agent.host })).flatMap((entry) => ('line' in entry ? [entry.line] : []));
        await waitFor(async () => (await lines()).includes('process as 1000') && (await lines()).includes('step as 1000'), {
          what: 'the output of both',
          timeoutMs: 30_000,
        });
        const mark = await worker.mark();
        await docker.kill(worker.containerName);
        await worker.next(mark, 'workload.ready');
        expect((await worker.container()).user).toBe('1000');
      },
    ));
});
