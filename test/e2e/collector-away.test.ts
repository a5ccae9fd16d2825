/**
 * The collector is away while workloads die: they recover as fast as ever, and afterwards everything arrives once, in order,
 * with the times at which it happened. RELIGHT_AWAY_MS: for how long at least.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentStatus } from '@relight/agent/control/status';
import type { ApiEvent } from '@relight/shared/api';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
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
async function localStatus(agent: LabAgent, name: string): Promise<AgentStatus['workloads'][number]> {
  const { stdout } = await lab.agentCommand(agent, 'status', '--json');
  const found = (JSON.parse(stdout) as AgentStatus).workloads.find((status) => status.name === name);
  if (found === undefined) throw new Error(`the agent does not know ${name}: ${stdout}`);
  return found;
}

/** Kills the container and waits until the agent says that the next one is ready. Returns when it was killed. */
async function die(agent: LabAgent): Promise<number> {
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
  return killedAt;
}

const times = (events: readonly ApiEvent[], kind: ApiEvent['kind']): number[] =>
  events.filter((event) => event.kind === kind).map(({ at }) => Date.parse(at));
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

test(`away for ${awayMs} ms while a workload dies ${deaths} times`, { timeout: 120_000 + awayMs }, async () => {
  const agent = await lab.addAgent({
    host,
    workloads: [
      workload('mortal', 'echo born; exec sleep 1000000'),
      workload('writer', countingScript({ perSecond: 500, stopFile: '/control/stop' })),
      workload('clock', 'while :; do echo "now $(date +%s)"; sleep 0.2; done'),
    ],
  });
  for (const name of ['mortal', 'writer', 'clock']) await lab.fleet.waitForPhase(host, name, 'ready');
  for (let death = 0; death < deaths; death += 1) await die(agent);

  await lab.collector.kill();
  const leftAt = Date.now();
  const killedAt: number[] = [];
  for (let death = 0; death < deaths; death += 1) killedAt.push(await die(agent));
  await waitFor(() => Date.now() - leftAt >= awayMs, { timeoutMs: awayMs + 1_000, everyMs: 100, what: 'the absence to be over' });
  const backAt = Date.now();
  await lab.collector.start();
  await lab.fleet.waitForHost(host, 'connected', 60_000);

  const generations = 2 * deaths + 1;
  const filter = { host, workload: 'mortal' };
  await lab.fleet.waitForEvent(
    { ...filter, kind: 'workload.ready' },
    ({ generation }) => generation === generations,
    'the last recovery to be told',
  );
  const events = await lab.fleet.events(filter);
  const died = times(events, 'container.died');
  const ready = times(events, 'workload.ready').slice(1);
  expect([died.length, ready.length]).toEqual([2 * deaths, 2 * deaths]);
  for (const [index, at] of killedAt.entries()) {
    expect((died[deaths + index] ?? 0) - at).toBeGreaterThanOrEqual(-5);
    expect((died[deaths + index] ?? 0) - at).toBeLessThan(1_000);
  }
  const took = died.map((at, index) => (ready[index] ?? 0) - at);
  const [present, absent] = [median(took.slice(0, deaths)), median(took.slice(deaths))];
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
  expect(Math.abs(Date.parse(told[0]?.startsAt ?? '') - (killedAt[0] ?? 0))).toBeLessThan(1_500);
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
  let meanwhile = 0;
  for (const tick of ticks) {
    expect(tick).not.toHaveProperty('gap');
    if (!('line' in tick)) continue;
    const at = Date.parse(tick.at);
    const said = Number(tick.line.slice('now '.length)) * 1_000;
    expect(tick.atApprox).toBeUndefined();
    expect(at).toBeGreaterThanOrEqual(said);
    expect(at).toBeLessThan(said + 1_000 + 500);
    if (at > leftAt && at < backAt) meanwhile += 1;
  }
  // Five a second, less what forks cost on a busy machine.
  expect(meanwhile).toBeGreaterThan(((backAt - leftAt) / 1_000) * 2.5);
}
