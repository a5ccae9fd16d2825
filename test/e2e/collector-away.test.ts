/**
 * The collector is away while workloads die: they recover as fast as ever, and afterwards everything arrives once, in order,
 * with the times at which it happened. RELIGHT_AWAY_MS: for how long at least.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentStatus } from '@relight/agent/control/status';
import type { ApiEvent } from '@relight/shared/api';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { eventsStored } from '../support/caught-up.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { countingScript, judge, readAllPages, waitForEnd } from '../support/numbered-lines.ts';
import { waitFor } from '../support/wait.ts';

const awayMs = Number(process.env['RELIGHT_AWAY_MS'] ?? 8_000);
const deaths = 3;
const host = 'alone';

let lab: Lab;
let control: string;

beforeEach(async () => {
  // The first death while the collector is away is the one too many.
  const alerts = { repeated_restarts: { warning: `${deaths + 1} in 10m`, critical: '1000 in 30m' } };
  lab = await startLab({ engineSocket: inject('engineSocket'), collector: { alerts } });
  control = join(lab.directory, 'control');
  mkdirSync(control);
});

afterEach(async () => {
  await lab?.dispose();
});

function workload(name: string, run: string): Record<string, unknown> {
  const atOnce = { initial: '0s', budget: '1000 per 10m' };
  return {
    name,
    container: {
      name: `away-${name}-${process.pid}`,
      image: inject('engineImage'),
      pull_policy: 'never',
      init: true,
      command: ['sleep', 'infinity'],
      volumes: [`${control}:/control`],
    },
    process: { run, stop_timeout: '1s' },
    restart: { process: atOnce, container: atOnce },
  };
}

/** As the agent itself tells it on its host. */
async function saidLocally(agent: LabAgent): Promise<AgentStatus> {
  const { stdout } = await lab.agentCommand(agent, 'status', '--json');
  return JSON.parse(stdout) as AgentStatus;
}

async function localStatus(agent: LabAgent, name: string): Promise<AgentStatus['workloads'][number]> {
  const status = await saidLocally(agent);
  const found = status.workloads.find((one) => one.name === name);
  if (found === undefined) throw new Error(`the agent does not know ${name}: ${JSON.stringify(status)}`);
  return found;
}

/** When the container was killed, and when it was known that the next one is ready. Between the two it happened, however slow the machine. */
interface Death {
  readonly killedAt: number;
  readonly backAt: number;
}

/** Kills the container and waits until the agent says that the next one is ready. */
async function die(agent: LabAgent): Promise<Death> {
  const before = await localStatus(agent, 'mortal');
  const killedAt = Date.now();
  await lab.engine.kill(before.containerId ?? '', 'SIGKILL');
  await waitFor(
    async () => {
      const { phase, generation } = await localStatus(agent, 'mortal');
      return phase === 'ready' && generation === before.generation + 1;
    },
    { timeoutMs: 30_000, everyMs: 50, what: 'the workload to be ready again' },
  );
  return { killedAt, backAt: Date.now() };
}

const times = (events: readonly ApiEvent[], kind: ApiEvent['kind']): number[] =>
  events.filter((event) => event.kind === kind).map(({ at }) => Date.parse(at));
/** Two clocks, one of them rounded. */
const within = (at: number | undefined, { killedAt, backAt }: Death): boolean => at !== undefined && at >= killedAt - 5 && at <= backAt + 5;

test(`away for ${awayMs} ms while a workload dies ${deaths} times`, { timeout: 120_000 + awayMs }, async () => {
  const agent = await lab.addAgent({
    host,
    workloads: [
      workload('mortal', 'echo born; exec sleep 1000000'),
      workload('writer', countingScript({ perSecond: 500, stopFile: '/control/stop' })),
      workload('clock', 'n=0; while :; do n=$((n + 1)); echo "now $n $(date +%s)"; sleep 0.2; done'),
    ],
  });
  for (const name of ['mortal', 'writer', 'clock']) await lab.fleet.waitForPhase(host, name, 'ready');
  for (let death = 0; death < deaths; death += 1) await die(agent);

  await lab.collector.kill();
  const leftAt = Date.now();
  const away: Death[] = [];
  for (let death = 0; death < deaths; death += 1) away.push(await die(agent));
  await waitFor(() => Date.now() - leftAt >= awayMs, { timeoutMs: awayMs + 1_000, everyMs: 100, what: 'the absence to be over' });
  const { collector, gaps } = await saidLocally(agent);
  expect(gaps).toMatchObject({ count: 0, untoldBytes: 0, last: null });
  // One machine has one clock: what is left is the way of a heartbeat, and how old the word is.
  expect(collector?.connected).toBe(false);
  expect(Math.abs(collector?.clock?.skewMs ?? Infinity)).toBeLessThan(60_000);
  expect(collector?.clock?.ageMs).toBeGreaterThanOrEqual(awayMs);
  const backAt = Date.now();
  await lab.collector.start();
  await lab.fleet.waitForHost(host, 'connected', 60_000);

  const generations = 2 * deaths + 1;
  const filter = { host, workload: 'mortal' };
  await lab.fleet.waitForEvent(
    { ...filter, kind: 'workload.ready' },
    ({ generation }) => generation === generations,
    'the last recovery to be told',
    60_000,
  );
  await eventsStored(agent);
  const events = await lab.fleet.events(filter);
  const died = times(events, 'container.died');
  const ready = times(events, 'workload.ready').slice(1);
  expect([died.length, ready.length]).toEqual([2 * deaths, 2 * deaths]);
  for (const [index, death] of away.entries())
    expect([died[deaths + index], ready[deaths + index]].map((at) => within(at, death))).toEqual([true, true]);
  const took = died.map((at, index) => (ready[index] ?? 0) - at);
  // The quickest of each: what else the machine does makes single ones slow, a recovery that waits for the collector is slow each time.
  const [present, absent] = [Math.min(...took.slice(0, deaths)), Math.min(...took.slice(deaths))];
  console.log(`died to ready: ${present} ms with a collector, ${absent} ms without`);
  expect(absent).toBeLessThan(2 * present + 200);

  // Stored in the order in which things happened, and received after the absence.
  const all = (await lab.fleet.events({ host })).filter(({ kind }) => !/^agent\.(?:connected|disconnected)$|^alert\./.test(kind));
  const happened = all.map(({ at }) => Date.parse(at));
  expect(happened).toEqual(happened.toSorted((a, b) => a - b));
  const late = all.filter(({ at }) => Date.parse(at) > leftAt && Date.parse(at) < backAt);
  expect(late.length).toBeGreaterThanOrEqual(5 * deaths);
  expect(late.filter(({ receivedAt }) => Date.parse(receivedAt) < backAt)).toEqual([]);

  await waitFor(() => lab.webhook.alerts().length > 0, { timeoutMs: 20_000, what: 'the alert' });
  await expectLines(leftAt, backAt, generations);

  // Told once, and begun when the one death too many happened.
  const told = lab.webhook.alerts();
  expect(told.map(({ status, labels }) => `${status} ${labels['alertname']} ${labels['workload']}`)).toEqual([
    'firing RepeatedRestarts mortal',
  ]);
  expect(away.map((death) => within(Date.parse(told[0]?.startsAt ?? ''), death))).toEqual(away.map((_, index) => index === 0));
});

async function expectLines(leftAt: number, backAt: number, generations: number): Promise<void> {
  writeFileSync(join(control, 'stop'), '');
  const written = await waitForEnd(lab.fleet, { host, workload: 'writer', source: 'process' });
  expect(judge(await readAllPages(lab.fleet, { host, workload: 'writer', source: 'process' }))).toEqual({
    lines: written,
    gaps: [],
    wrong: [],
  });

  const born = await readAllPages(lab.fleet, { host, workload: 'mortal', source: 'process' });
  expect(born.map((entry) => `${entry.generation} ${'line' in entry && entry.line}`)).toEqual(
    Array.from({ length: generations }, (_, index) => `${index + 1} born`),
  );

  const ticks = await readAllPages(lab.fleet, { host, workload: 'clock', source: 'process' });
  const lateMs: number[] = [];
  for (const [index, tick] of ticks.entries()) {
    expect(tick).not.toHaveProperty('gap');
    if (!('line' in tick)) continue;
    const at = Date.parse(tick.at);
    const [, number, second] = tick.line.split(' ').map(Number);
    // However many a busy machine lets it say: none is missing.
    expect(number).toBe(index + 1);
    if (at <= leftAt || at >= backAt) continue;
    expect(tick.atApprox).toBeUndefined();
    // It has asked for the second, rounded down, and then it has said it, when the machine let it.
    lateMs.push(at - (second ?? 0) * 1_000);
  }
  expect(lateMs.length).toBeGreaterThan((backAt - leftAt) / 2_000);
  expect(Math.min(...lateMs)).toBeGreaterThanOrEqual(0);
  expect(lateMs.toSorted((a, b) => a - b)[lateMs.length >> 1]).toBeLessThan(1_000 + 500);
  expect(Math.max(...lateMs)).toBeLessThan((backAt - leftAt) / 2);
}
