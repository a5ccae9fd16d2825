/**
 * What happened to the machine itself is the cause that a person reads: its engine was restarted, it was rebooted, the cloud took
 * it away. No workload is blamed for it: no budget is spent, and at most one alert is told.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiIncident } from '@relight/shared/api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { startPrivateEngine, type PrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { startMetadataServer } from '../support/metadata-server.ts';
import { PretendMachine } from '../support/pretend-machine.ts';
import { eventually, waitFor } from '../support/wait.ts';

let engine: PrivateEngine;
let lab: Lab;
let image: string;
const deadAfterMs = 5_000;

async function setUp(liveRestore: boolean): Promise<void> {
  engine = await startPrivateEngine({ liveRestore });
  image = await buildTestImage(engine);
  lab = await startLab({
    engineSocket: engine.socket,
    collector: {
      liveness: { heartbeat: '1s', suspect_after: '3s', dead_after: `${deadAfterMs}ms`, restart_grace: '1s' },
      // Whatever counts, and whatever lasts, would be told at once.
      alerts: { repeated_restarts: { warning: '1 in 10m', critical: '3 in 10m' }, engine_down: { after: '1s' } },
    },
  });
}

async function tearDown(): Promise<void> {
  await lab?.dispose();
  await engine?.dispose();
}

const document = { process: { run: 'exec sleep 100000', stop_timeout: '1s' }, ready: [{ exec: 'true', interval: '200ms' }] };

/** `status rule` of everything that went to the webhook since. */
const told = (since: number): readonly string[] =>
  lab.webhook.alerts(since).map(({ status, labels }) => `${status} ${labels['alertname']}`);

/** Of the host, the newest first. `workload` null: the host's own. */
async function incidents(worker: Bystander, workload: string | null, since: number): Promise<readonly ApiIncident[]> {
  const { items } = await lab.fleet.api.list<ApiIncident>('incidents', { host: worker.agent.host });
  return items.filter((incident) => incident.workload === workload && Date.parse(incident.openedAt) >= since);
}

/** The only one since then, once it is over. */
const theIncident = (worker: Bystander, workload: string | null, since: number): Promise<ApiIncident> =>
  waitFor(
    async () => {
      const [incident, ...more] = await incidents(worker, workload, since);
      if (more.length > 0) throw new Error(`one cause, ${more.length + 1} incidents`);
      return incident !== undefined && incident.closedAt !== null && incident;
    },
    { timeoutMs: 60_000, what: 'the incident to be over' },
  );

/** What a person reads who knows no more than its id. */
async function causeLine({ id }: ApiIncident): Promise<string> {
  const { stdout } = await lab.relight('incidents', id);
  return /^CAUSE +(.*)$/m.exec(stdout)?.[1] ?? stdout;
}

/** Its status comes on another way than its events. */
const hasRestarts = (worker: Bystander, restarts: unknown): Promise<void> =>
  eventually(async () => expect((await worker.status()).restarts).toEqual(restarts), { what: 'the restarts' });

/** Long enough for a silent host to be called dead, if it were. */
async function quietFor(ms: number): Promise<void> {
  const until = Date.now() + ms;
  await waitFor(() => Date.now() >= until, { what: 'the time', timeoutMs: ms + 5_000, everyMs: 50 });
}

async function restartEngine(since: number): Promise<void> {
  await engine.stop();
  await waitFor(() => told(since).length > 0, { what: 'the alert that the engine is away', timeoutMs: 60_000 });
  await engine.start();
}

describe('the engine is restarted', () => {
  describe('with live-restore', () => {
    beforeAll(() => setUp(true));
    afterAll(tearDown);

    test('the container goes on and has no incident; that of the host says why nobody could tell', async () => {
      const worker = await Bystander.ready(lab, 'lives-on', image, document);
      const [before, container] = [await worker.status(), await worker.container()];
      const since = Date.now();
      const mark = await worker.mark();
      await restartEngine(since);
      await worker.next(mark, 'engine.recovered');
      await worker.phase('ready');
      const incident = await theIncident(worker, null, since);
      expect(incident).toMatchObject({ code: 'engine-unreachable', level: 'host', attempts: { process: 0, container: 0, host: 0 } });
      expect(await causeLine(incident)).toMatch(/^the container engine does not answer: /);
      expect(await incidents(worker, worker.workload, since)).toEqual([]);
      expect(await worker.container()).toMatchObject({ id: container.id, pid: container.pid, startedAt: container.startedAt });
      expect(await worker.status()).toMatchObject({ restarts: before.restarts, generation: before.generation });
      await waitFor(() => told(since).length > 1, { what: 'the alert to be over' });
      expect(told(since)).toEqual(['firing EngineDown', 'resolved EngineDown']);
    });
  });
});

describe('without live-restore', () => {
  beforeAll(() => setUp(false));
  afterAll(tearDown);

  test('the engine is restarted: the container fell with it, and the engine is the cause', async () => {
    const worker = await Bystander.ready(lab, 'fallen', image, document);
    const before = await worker.status();
    const since = Date.now();
    const mark = await worker.mark();
    await restartEngine(since);
    await worker.next(mark, 'workload.ready');
    const incident = await theIncident(worker, worker.workload, since);
    expect(incident).toMatchObject({ code: 'engine-restarted', level: 'host' });
    expect(await causeLine(incident)).toMatch(/^the container engine was restarted or crashed, and the container fell with it/);
    expect((await theIncident(worker, null, since)).code).toBe('engine-unreachable');
    const events = await worker.since(mark);
    expect(events.filter(({ data }) => data['countsAsFailure'] === true)).toEqual([]);
    expect(events.find(({ kind }) => kind === 'container.died')).toMatchObject({ data: { code: 'engine-restarted' } });
    await hasRestarts(worker, before.restarts);
    await waitFor(() => told(since).length > 1, { what: 'the alert to be over' });
    expect(told(since)).toEqual(['firing EngineDown', 'resolved EngineDown']);
    await worker.agent.service.stop();
  });

  describe('the machine is rebooted', () => {
    const setup = [{ name: 'note', run: 'cat /proc/sys/kernel/random/boot_id >> "$BOOTS"' }];

    async function worker(name: string) {
      const directory = join(lab.directory, `machine-${name}`);
      const machine = new PretendMachine(directory);
      const file = join(directory, 'boots');
      const gate = { quiet_for: '500ms', timeout: '60s', package_manager_idle: false, pending_reboot: 'report' };
      const service = { through: machine.through, env: { BOOTS: file } };
      const bystander = await Bystander.start(lab, name, image, document, service, { gate, setup });
      await bystander.next(0, 'workload.ready');
      const boots = (): readonly string[] => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);
      return { machine, bystander, boots };
    }

    /** Everything falls with the machine: the engine with the containers, and the agent if it still runs. */
    async function falls(bystander: Bystander): Promise<void> {
      await bystander.agent.service.kill();
      await engine.stop();
      await engine.start();
    }

    /** Back, and nobody is blamed: returns the incidents. */
    async function isBack(bystander: Bystander, boots: () => readonly string[], mark: number, since: number) {
      await bystander.next(mark, 'workload.ready', () => true, 60_000);
      const [own, ofHost] = [await theIncident(bystander, bystander.workload, since), await theIncident(bystander, null, since)];
      for (const incident of [own, ofHost]) expect(incident).toMatchObject({ code: 'host-rebooted', level: 'host' });
      expect(await causeLine(own)).toMatch(/^the machine was rebooted, or crashed; what ran on it fell with it/);
      await hasRestarts(bystander, { process: 0, container: 0, host: 1 });
      const events = await bystander.since(mark);
      expect(events.filter(({ data }) => data['countsAsFailure'] === true)).toEqual([]);
      expect(events.filter(({ kind }) => kind === 'host.booted')).toHaveLength(1);
      expect(events.find(({ kind }) => kind === 'container.died')).toMatchObject({ data: { code: 'host-rebooted' } });
      // The gate was asked and the host's own commands have run before anything was made.
      const kinds = events.map(({ kind }) => kind);
      expect(kinds.indexOf('setup.step-done')).toBeGreaterThan(kinds.indexOf('host.booted'));
      expect(kinds.indexOf('container.created')).toBeGreaterThan(kinds.indexOf('setup.step-done'));
      expect(new Set(boots()).size).toBe(2);
      expect(boots()).toHaveLength(2);
    }

    test('announced: nobody is woken, however long its silence', async () => {
      const { machine, bystander, boots } = await worker('announced');
      const since = Date.now();
      const mark = await bystander.mark();
      machine.schedules('reboot');
      await bystander.agent.service.stop();
      await lab.fleet.waitForHost('announced', 'rebooting');
      await falls(bystander);
      await quietFor(deadAfterMs + 1_000);
      expect((await lab.fleet.host('announced'))?.state).toBe('rebooting');
      machine.boots();
      await bystander.agent.service.start();
      await isBack(bystander, boots, mark, since);
      expect(told(since)).toEqual([]);
      await bystander.agent.service.stop();
    });

    test('by a power cut: a silent host is news, its workloads are not', async () => {
      const { machine, bystander, boots } = await worker('power-cut');
      const since = Date.now();
      const mark = await bystander.mark();
      await falls(bystander);
      await waitFor(() => told(since).length > 0, { what: 'the alert that the host is silent' });
      machine.boots();
      await bystander.agent.service.start();
      await isBack(bystander, boots, mark, since);
      await waitFor(() => told(since).length > 1, { what: 'the alert to be over' });
      expect(told(since)).toEqual(['firing HostDead', 'resolved HostDead']);
      await bystander.agent.service.stop();
    });
  });

  describe('the cloud takes the machine', () => {
    const path = '/computeMetadata/v1/instance';

    async function worker(name: string) {
      const metadata = await startMetadataServer((headers) => headers['metadata-flavor'] === 'Google');
      metadata.answers.set(`${path}/preempted`, { body: 'FALSE' });
      metadata.answers.set(`${path}/maintenance-event`, { body: 'NONE' });
      const machine = new PretendMachine(join(lab.directory, `machine-${name}`));
      const service = { through: machine.through, env: { RELIGHT_METADATA_URL: `gcp+${metadata.base}` } };
      const bystander = await Bystander.start(lab, name, image, document, service);
      await bystander.next(0, 'workload.ready');
      return { metadata, machine, bystander };
    }

    const openIncident = (bystander: Bystander, since: number, code: string): Promise<ApiIncident> =>
      waitFor(async () => (await incidents(bystander, bystander.workload, since)).find((incident) => incident.code === code), {
        what: `the incident to be ${code}`,
        timeoutMs: 60_000,
      });

    test('preempted: nothing is begun any more, and nobody is woken for its silence', async () => {
      const { metadata, bystander } = await worker('preempted');
      const since = Date.now();
      const mark = await bystander.mark();
      metadata.answers.set(`${path}/preempted`, { body: 'TRUE' });
      await bystander.next(mark, 'host.notice', ({ data }) => data['condition'] === 'preemption');
      await lab.engine.stop((await bystander.container()).id, 0);
      expect((await bystander.phase('waiting')).reason).toContain('this machine is preempted');
      const incident = await openIncident(bystander, since, 'preemption');
      expect(incident).toMatchObject({ level: 'host', closedAt: null });
      expect(await causeLine(incident)).toMatch(/^preemption: Google Cloud announces .*: the VM is preempted, about 30 s are left/);
      // Power goes before the agent could say goodbye.
      await bystander.agent.service.kill();
      const { reason } = await lab.fleet.waitForHost('preempted', 'stopped');
      expect(reason).toMatch(/^preemption was announced: /);
      await quietFor(deadAfterMs + 1_000);
      expect((await lab.fleet.host('preempted'))?.state).toBe('stopped');
      expect(told(since)).toEqual([]);
      expect((await bystander.since(mark)).filter(({ kind }) => kind === 'container.created' || kind === 'process.started')).toEqual([]);
      await hasRestarts(bystander, { process: 0, container: 0, host: 0 });
    });

    test('host maintenance: rebooting while it lasts, and a reboot when it is back', async () => {
      const { metadata, machine, bystander } = await worker('maintained');
      const since = Date.now();
      const mark = await bystander.mark();
      metadata.answers.set(`${path}/maintenance-event`, { body: 'TERMINATE_ON_HOST_MAINTENANCE' });
      await bystander.next(mark, 'host.notice', ({ data }) => data['condition'] === 'maintenance');
      await lab.engine.stop((await bystander.container()).id, 0);
      const { id } = await openIncident(bystander, since, 'maintenance');
      await bystander.agent.service.kill();
      const { reason } = await lab.fleet.waitForHost('maintained', 'rebooting');
      expect(reason).toMatch(/^maintenance was announced: /);
      await quietFor(deadAfterMs + 1_000);
      machine.boots();
      metadata.answers.set(`${path}/maintenance-event`, { body: 'NONE' });
      await bystander.agent.service.start();
      const over = await theIncident(bystander, bystander.workload, since);
      expect(over.id).toBe(id);
      expect(await causeLine(over)).toMatch(/^maintenance: Google Cloud announces .*: host maintenance terminates the VM/);
      await hasRestarts(bystander, { process: 0, container: 0, host: 1 });
      expect(told(since)).toEqual([]);
      await bystander.agent.service.stop();
    });
  });
});
