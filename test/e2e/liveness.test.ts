/**
 * What the collector says of hosts that fall silent, are killed, stopped or left alone, and of itself when it was away. Times are
 * judged by the collector's own event times. RELIGHT_REAL_TIMES=1 takes the defaults of the configuration instead of short ones.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ApiEvent } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { countingScript, judge, readAllPages, waitForEnd } from '../support/numbered-lines.ts';
import { waitFor } from '../support/wait.ts';

const times =
  process.env['RELIGHT_REAL_TIMES'] === '1'
    ? { heartbeat: 10_000, suspect_after: 25_000, dead_after: 60_000, restart_grace: 120_000 }
    : // An agent that stands still for two seconds, behind a disk that hangs, is no silent host yet.
      { heartbeat: 300, suspect_after: 3_000, dead_after: 6_000, restart_grace: 9_000 };
const { suspect_after: suspectAfter, dead_after: deadAfter, restart_grace: restartGrace } = times;
/** The sweep, an event's way, and a busy machine; for how long the collector was not even scheduled, it says itself. */
const toleranceMs = 1_000;
const long = { timeout: 300_000 + 3 * Math.max(deadAfter, restartGrace) };

let lab: Lab;
let control: string;
let worker: LabAgent;
let bystander: LabAgent;
let collectorStartedAt: number;

beforeAll(async () => {
  const liveness = Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, `${ms}ms`]));
  // Due while its host is silent, and not in the moment before that is noticed.
  const alerts = { repeated_restarts: { warning: '2 in 10m', critical: '1000 in 30m', resolve_after: `${deadAfter}ms` } };
  lab = await startLab({ engineSocket: inject('engineSocket'), collector: { liveness, alerts } });
  collectorStartedAt = Date.now();
  control = join(lab.directory, 'control');
  mkdirSync(control);
  const container = {
    image: inject('engineImage'),
    pull_policy: 'never',
    init: true,
    command: ['sleep', 'infinity'],
    volumes: [`${control}:/control`],
  };
  worker = await lab.addAgent({
    host: 'worker',
    workloads: [
      {
        name: 'writer',
        container: { name: `live-writer-${process.pid}`, ...container },
        process: { run: countingScript({ perSecond: 200, stopFile: '/control/stop' }), stop_timeout: '1s' },
      },
      {
        name: 'flaky',
        container: { name: `live-flaky-${process.pid}`, ...container },
        process: { run: '[ -e /control/well ] && exec sleep 1000000; exit 1', stop_timeout: '1s' },
        // At the same pace for as long as it lasts: neither the end of a budget nor a longer wait is told in the middle of the silence.
        restart: { process: { initial: '200ms', max: '400ms', budget: '1000 per 10m', escalate_after: null } },
      },
    ],
  });
  bystander = await lab.addAgent({ host: 'bystander', workloads: [] });
  await lab.fleet.waitForHost('bystander', 'connected');
  await lab.fleet.waitForPhase('worker', 'writer', 'ready');
});

afterAll(async () => {
  await lab?.dispose();
});

const iso = (ms: number): string => new Date(ms).toISOString();

/** For how long the collector has stood still in its life: nobody's silence counts meanwhile, and nothing is told. */
async function stalledMs(): Promise<number> {
  const metrics = await text(await lab.fleet.api.stream('/metrics', {}));
  const seconds = /^relight_collector_stalled_seconds_total (\S+)$/m.exec(metrics)?.[1];
  if (seconds === undefined) throw new Error('the collector does not say for how long it stood still');
  return Number(seconds) * 1_000;
}

async function kindsSince(host: string, since: number): Promise<string[]> {
  // What the machine of the tests says in its kernel log at that moment is nobody's doing here.
  return (await lab.fleet.events({ host, since: iso(since) })).map(({ kind }) => kind).filter((kind) => kind !== 'host.notice');
}

const event = (host: string, kind: ApiEvent['kind'], since: number, timeoutMs = 30_000): Promise<ApiEvent> =>
  lab.fleet.waitForEvent({ host, kind, since: iso(since) }, () => true, `${kind} of ${host}`, timeoutMs);

/** `status rule host` of all that went to the webhook since. */
function told(since: number): string[] {
  return lab.webhook.alerts(since).map(inShort);
}
const inShort = ({ status, labels }: ReturnType<Lab['webhook']['alerts']>[number]): string =>
  `${status} ${labels['alertname']} ${labels['host']}`;

/** Every host that was dead is alive again, and the webhook has been told so. */
async function deathsAreOver(): Promise<boolean> {
  const ends = lab.webhook.alerts().filter(({ status }) => status === 'resolved');
  return (await lab.fleet.alerts({ rule: 'HostDead' })).every(
    ({ state, host, startsAt }) =>
      state === 'resolved' &&
      ends.some(({ labels, ...end }) => labels['alertname'] === 'HostDead' && labels['host'] === host && end.startsAt === startsAt),
  );
}

const toldOnce = (what: string, since: number): Promise<true> =>
  waitFor(() => told(since).includes(what), { timeoutMs: 30_000, what: `${what} at the webhook` }).then(() => true as const);

/** Nobody is dead within the grace after the collector's start: who falls silent now will be so for longer than it lasts. */
async function graceOver(): Promise<void> {
  await waitFor(() => Date.now() - collectorStartedAt > restartGrace - deadAfter, {
    timeoutMs: restartGrace,
    everyMs: 100,
    what: 'the grace after the start of the collector to be nearly over',
  });
}

test('silent: suspect, then dead, at the configured times; heard again: recovered, and nothing is lost', long, async () => {
  const began = Date.now();
  // An alert of a workload that fires already must not be told again, nor be called resolved, while its host is silent.
  await toldOnce('firing RepeatedRestarts worker', 0);
  await graceOver();
  writeFileSync(join(control, 'well'), '');
  await lab.fleet.waitForPhase('worker', 'flaky', 'ready');

  const stalledBefore = await stalledMs();
  worker.service.freeze();
  onTestFinished(() => worker.service.thaw());
  const frozenAt = Date.now();
  const suspect = await event('worker', 'host.suspect', frozenAt, suspectAfter + 30_000);
  const silentSince = Date.parse((await lab.fleet.host('worker'))?.lastSeenAt ?? '');
  const dead = await event('worker', 'host.dead', frozenAt, deadAfter + 30_000);
  const stalled = (await stalledMs()) - stalledBefore;
  // What was still on its way when it froze was heard a moment later.
  expect(silentSince).toBeLessThanOrEqual(frozenAt + toleranceMs / 2 + stalled);
  const after = [suspect, dead].map(({ at }) => Date.parse(at) - silentSince);
  for (const [index, configured] of [suspectAfter, deadAfter].entries()) {
    expect(after[index]).toBeGreaterThanOrEqual(configured - 100);
    expect(after[index]).toBeLessThanOrEqual(configured + toleranceMs + stalled);
  }
  console.log(`suspect after ${after[0]} ms, dead after ${after[1]} ms of silence; the collector stood still for ${stalled} ms`);
  expect((await lab.fleet.host('worker'))?.reason).toMatch(/^silent for \d+ s; last known: all 2 ready/);
  await toldOnce('firing HostDead worker', frozenAt);

  worker.service.thaw();
  const recovered = await event('worker', 'host.recovered', frozenAt);
  await lab.fleet.waitForHost('worker', 'connected');
  await toldOnce('resolved HostDead worker', frozenAt);
  // Until its silence was noticed nothing kept the end of another alert from being told.
  const inSilence = lab.webhook.alerts(frozenAt).filter((alert) => {
    const over = inShort(alert) === 'resolved RepeatedRestarts worker';
    return !over || Date.parse(alert.endsAt) >= Date.parse(suspect.at);
  });
  expect(inSilence.map(inShort)).toEqual(['firing HostDead worker', 'resolved HostDead worker']);
  expect(recovered.message).toMatch(/^heard again after \d+ s of silence$/);
  const kinds = (await kindsSince('worker', frozenAt)).filter((kind) => kind.startsWith('host.'));
  expect(kinds).toEqual(['host.suspect', 'host.dead', 'host.recovered']);
  expect((await kindsSince('bystander', began)).filter((kind) => /^(?:host|agent)\./.test(kind))).toEqual([]);

  writeFileSync(join(control, 'stop'), '');
  const filter = { host: 'worker', workload: 'writer', source: 'process' };
  const written = await waitForEnd(lab.fleet, filter);
  expect(judge(await readAllPages(lab.fleet, filter))).toEqual({ lines: written, gaps: [], wrong: [] });
});

test('killed: disconnected at once; back: connected', async () => {
  const stalledBefore = await stalledMs();
  const killedAt = Date.now();
  await worker.service.kill();
  // Its connection is closed with its last thread, which may be waiting for the disk.
  const endedAt = Date.now();
  const disconnected = await event('worker', 'agent.disconnected', killedAt);
  expect((await lab.fleet.host('worker'))?.state).toBe('disconnected');
  await worker.service.start();
  await lab.fleet.waitForHost('worker', 'connected');
  const stalled = (await stalledMs()) - stalledBefore;
  expect(Date.parse(disconnected.at) - endedAt).toBeLessThan(toleranceMs + stalled);
});

test('stopped: stopped for as long as it likes', long, async () => {
  const stoppedAt = Date.now();
  await worker.service.stop();
  const goodbye = await event('worker', 'agent.disconnected', stoppedAt);
  expect(goodbye.message).toBe('the agent was stopped');
  // Another host that falls silent now tells when dead_after has passed.
  bystander.service.freeze();
  onTestFinished(() => bystander.service.thaw());
  const frozenAt = Date.now();
  await event('bystander', 'host.dead', frozenAt, deadAfter + 30_000);
  expect((await lab.fleet.host('worker'))?.state).toBe('stopped');
  expect((await kindsSince('worker', stoppedAt)).filter((kind) => kind.startsWith('host.'))).toEqual([]);
  bystander.service.thaw();
  const startedAt = Date.now();
  await worker.service.start();
  for (const host of ['worker', 'bystander']) await lab.fleet.waitForHost(host, 'connected');
  // Stored, not only seen: whoever restarts now believes it.
  await event('worker', 'agent.connected', startedAt);
});

test('the collector is restarted: unknown until heard, nobody dead before its grace is over', long, async () => {
  // Neither dials in vain while nobody is there: after each attempt it would wait longer, and the grace here is short.
  for (const { service } of [worker, bystander]) {
    service.freeze();
    onTestFinished(() => service.thaw());
  }
  await lab.collector.kill();
  const startedAt = Date.now();
  await lab.collector.start();
  collectorStartedAt = startedAt;
  for (const host of ['worker', 'bystander']) expect((await lab.fleet.host(host))?.state).toBe('unknown');
  worker.service.thaw();
  await lab.fleet.waitForHost('worker', 'connected');
  const dead = await event('bystander', 'host.dead', startedAt, restartGrace + deadAfter + 30_000);
  expect(Date.parse(dead.at) - startedAt).toBeGreaterThanOrEqual(Math.max(restartGrace, deadAfter));
  expect((await kindsSince('worker', startedAt)).filter((kind) => kind.startsWith('host.'))).toEqual([]);
  bystander.service.thaw();
  await lab.fleet.waitForHost('bystander', 'connected');
});

test('the collector itself stood still for longer than dead_after: nobody is falsely dead', long, async () => {
  // An alert is resolved before that has been told: what is still on its way would be told in the middle of this.
  await waitFor(deathsAreOver, {
    timeoutMs: 20_000,
    what: 'the alerts of dead hosts to be resolved, and the webhook to know',
  });
  await graceOver();
  const frozenAt = Date.now();
  lab.collector.freeze();
  onTestFinished(() => lab.collector.thaw());
  await waitFor(() => Date.now() - frozenAt > deadAfter + 1_500, {
    timeoutMs: deadAfter + 10_000,
    what: 'more than dead_after to pass over a collector that stands still',
  });
  lab.collector.thaw();
  const thawedAt = Date.now();
  // Long enough for every sweep that could have judged the time in between.
  await waitFor(
    async () => {
      const hosts = await lab.fleet.hosts();
      return hosts.every(({ lastSeenAt }) => Date.parse(lastSeenAt ?? '') > thawedAt + suspectAfter);
    },
    { timeoutMs: suspectAfter + 3 * times.heartbeat + 30_000, everyMs: 100, what: 'every host to be heard again' },
  );
  for (const host of ['worker', 'bystander']) {
    expect(await lab.fleet.host(host)).toMatchObject({ state: 'connected' });
    // Agents may have given the mute collector up and come back: that is news of a connection, not of a host. What a host notices of
    // itself (a disk, a kernel's word) has nothing to do with it.
    expect((await kindsSince(host, frozenAt)).filter((kind) => kind.startsWith('host.') && kind !== 'host.notice')).toEqual([]);
  }
  expect(told(frozenAt).filter((what) => what.includes('HostDead'))).toEqual([]);
});
