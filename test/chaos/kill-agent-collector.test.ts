/**
 * Agent and collector are killed with -9 at random moments while a workload writes 2,000 lines a second, through its process
 * and through the container's own output, and another one dies all the time. Replay: RELIGHT_CHAOS_SEED, RELIGHT_CHAOS_ROUNDS.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { ApiEvent } from '@relight/shared/api';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { committedEpochs, isCommitted, placeAmong } from '../support/committed-events.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { loggedEvents } from '../support/logged-events.ts';
import { countingScript, judge, readAllPages, waitForEnd } from '../support/numbered-lines.ts';
import { listProcesses, startTicks, withoutForks } from '../support/processes.ts';
import { eventually, waitFor } from '../support/wait.ts';

const seed = Number(process.env['RELIGHT_CHAOS_SEED'] ?? Date.now() % 2 ** 31);
const rounds = Number(process.env['RELIGHT_CHAOS_ROUNDS'] ?? 8);
const host = 'chaos';
const counter = 'counter';
const sources = ['process', 'container'] as const;
const stopFile = '/control/stop';

let lab: Lab;
let control: string;

beforeEach(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  control = join(lab.directory, 'control');
  mkdirSync(control);
});

afterEach(async () => {
  await lab?.dispose();
});

function counting(perSecond: number): Record<string, unknown> {
  const script = countingScript({ perSecond, stopFile });
  return {
    name: counter,
    container: {
      name: `chaos-counter-${process.pid}`,
      image: inject('engineImage'),
      pull_policy: 'never',
      init: true,
      volumes: [`${control}:/control`],
      command: ['sh', '-c', script],
    },
    process: { run: script, stop_timeout: '1s' },
  };
}

/** Its process ends every few hundred milliseconds: there are always events on their way. */
function dying(): Record<string, unknown> {
  const often = { initial: '100ms', max: '400ms', budget: '10000 per 10m' };
  return {
    name: 'dying',
    container: {
      name: `chaos-dying-${process.pid}`,
      image: inject('engineImage'),
      pull_policy: 'never',
      init: true,
      command: ['sleep', 'infinity'],
    },
    process: { run: 'sleep 0.2; exit 3', stop_timeout: '1s' },
    restart: { process: { ...often, escalate_after: 10_000 }, container: often },
  };
}

/** Everything that tells one life of the workload from another: container, its first process, the process in it. */
async function livesOf(name: string): Promise<Record<string, unknown>> {
  const status = await lab.fleet.waitForPhase(host, name, 'ready');
  const id = status.containerId ?? '';
  const wrapper = listProcesses().filter(({ cgroup, cmdline }) => cgroup.includes(id) && cmdline.includes('relight-run'));
  const facts = await lab.engine.inspect(id);
  return {
    containerId: id,
    generation: status.generation,
    containerPid: facts?.pid,
    startedAt: facts?.startedAt,
    // What it has forked carries its name until it is executed.
    process: withoutForks(wrapper.map(({ pid }) => pid)).map((pid) => `${pid} ${startTicks(pid)}`),
  };
}

async function expectEveryLine(): Promise<void> {
  for (const source of sources) {
    const filter = { host, workload: counter, source };
    const written = await waitForEnd(lab.fleet, filter);
    const { lines, gaps, wrong } = judge(await readAllPages(lab.fleet, filter));
    expect({ source, lines, gaps, wrong }).toEqual({ source, lines: written, gaps: [], wrong: [] });
    console.log(`${source}: ${written} lines, each once and in order`);
  }
}

const ofCollector = /^(?:agent\.(?:connected|disconnected)|host\.(?:suspect|dead|recovered)|alert\..+)$/;
/** What the collector itself notices is about clocks, and about agents that claim a name. */
const isOwnNotice = ({ kind, data }: ApiEvent): boolean =>
  kind === 'host.notice' && (data['condition'] === 'clock-skew' || 'agentId' in data);
const fromAgent = (event: ApiEvent): boolean => !ofCollector.test(event.kind) && !isOwnNotice(event);

test(
  `${rounds} kills of the agent and ${rounds} of the collector under load, seed ${seed}`,
  { timeout: 60_000 + rounds * 15_000 },
  async () => {
    console.log(`seed ${seed}, ${rounds} rounds`);
    const pauses = fc.sample(fc.integer({ min: 0, max: 1_200 }), { seed, numRuns: 3 * rounds });
    const agent = await lab.addAgent({ host, workloads: [counting(2_000), dying()] });
    const before = await livesOf(counter);
    for (let round = 0; round < rounds; round += 1) {
      const [first = 0, second = 0, third = 0] = pauses.slice(3 * round, 3 * round + 3);
      // Random moments are the point of this test: nothing is waited for here.
      await sleep(first);
      await agent.service.kill();
      await sleep(second / 4);
      await agent.service.start();
      await sleep(third);
      await lab.collector.kill();
      await lab.collector.start();
    }
    // The back-off of an agent whose collector was killed again and again: the last one begins anew.
    await agent.service.kill();
    await agent.service.start();
    await lab.fleet.waitForHost(host, 'connected');
    expect(await livesOf(counter)).toEqual(before);
    writeFileSync(join(control, 'stop'), '');
    await expectEveryLine();
    expect(await livesOf(counter)).toEqual(before);

    await agent.service.stop();
    const logged = loggedEvents(agent);
    // One that ends waits two seconds for the collector, whose disk may take longer: what is left the next one tells.
    const last = logged.at(-1);
    const committed = () => committedEpochs(lab.directory, agent);
    const lastIsThere = (): boolean => last !== undefined && isCommitted(committed(), last);
    if (!lastIsThere()) {
      await agent.service.start();
      await waitFor(lastIsThere, { timeoutMs: 90_000, what: `event ${last?.seq} to be committed` });
      await agent.service.stop();
    }
    await lab.fleet.waitForHost(host, 'stopped');
    // Outboxes without a hole: as many events as their highest numbers say, so each is there once.
    const stored = await eventually(
      async () => {
        const all = (await lab.fleet.events({ host })).filter(fromAgent);
        expect(committed().reduce((sum, { seq }) => sum + seq, 0)).toBe(all.length);
        return all;
      },
      { what: 'as many events to be stored as were numbered' },
    );
    expect(stored.length).toBeGreaterThan(20 * rounds);
    // The log may lack the last words of a killed agent, the outbox may not.
    expect(logged.length).toBeGreaterThan(stored.length / 2);
    const epochs = committed();
    expect(
      logged.map(({ epoch, seq }) => {
        const { kind, message } = stored[placeAmong(epochs, { epoch, seq })] ?? {};
        return { epoch, seq, kind, msg: message };
      }),
    ).toEqual(logged.map(({ epoch, seq, kind, msg }) => ({ epoch, seq, kind, msg })));
    console.log(`${stored.length} events, each once and in order`);
  },
);

test('the state directory is deleted while the agent is dead: adopted from labels, not a line lost', async () => {
  const agent = await lab.addAgent({ host, workloads: [counting(500)] });
  const before = await livesOf(counter);
  await lab.fleet.waitForEvent({ host, kind: 'workload.ready' }, () => true, 'the first start');
  const filter = { host, workload: counter, source: 'process', tail: 1 };
  const storedLines = async (): Promise<number> => {
    const [last] = await lab.fleet.logs(filter);
    return last !== undefined && 'line' in last ? Number(last.line.slice('line '.length)) : 0;
  };
  await waitFor(async () => (await storedLines()) > 500, { timeoutMs: 90_000, what: 'the first lines to be stored' });
  await agent.service.kill();
  rmSync(agent.stateDir, { recursive: true, force: true });
  await agent.service.start();
  await lab.fleet.waitForEvent({ host, kind: 'container.adopted' }, () => true, 'the container to be adopted');
  expect(await livesOf(counter)).toEqual(before);
  const atAdoption = await storedLines();
  await waitFor(async () => (await storedLines()) > atAdoption + 500, { timeoutMs: 90_000, what: 'new lines to be stored' });
  writeFileSync(join(control, 'stop'), '');
  await expectEveryLine();
  expect(await livesOf(counter)).toEqual(before);
  expect(existsSync(agent.stateDir)).toBe(true);
});
