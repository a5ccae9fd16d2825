import type { EventKind, NewAgentEvent } from '@relight/shared/event';
import { incidentSchema } from '@relight/shared/incident';
import { ManualClock } from '@relight/shared/manual-clock';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { workloadFixture } from '../../../test/support/specs.ts';
import type { AgentContext } from './agent-context.ts';
import { SecretValues } from './config/secret-values.ts';
import type { Engine } from './engine/engine.ts';
import { EventKeeping } from './event-keeping.ts';
import { Gatherer } from './incidents/gatherer.ts';
import { IncidentStore } from './incidents/store.ts';
import { FileOutbox } from './outbox/file-outbox.ts';
import { initialState, restore } from './supervisor/state.ts';
import { WorkloadMemory } from './workload-memory.ts';
import { WorkloadStore } from './workload-store.ts';

const secretsOf = (workload: string | undefined): SecretValues =>
  new SecretValues([], null, workload === undefined ? ['hunter2', 'trainer'] : ['hunter2']);

class Killed extends Error {}

let stateDir: string;
/** How many writes the process may still do before it is killed. */
let writesLeft = Number.POSITIVE_INFINITY;

function write(): void {
  writesLeft -= 1;
  if (writesLeft < 0) throw new Killed();
}

function killable<T extends object>(prototype: T, method: keyof T & string): void {
  const methods = prototype as Record<string, (...given: unknown[]) => unknown>;
  const original = methods[method];
  vi.spyOn(methods, method).mockImplementation(function (this: unknown, ...given) {
    write();
    return original?.apply(this, given);
  });
}

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'relight-keeping-'));
  vi.spyOn(Gatherer.prototype, 'consider').mockImplementation(() => {});
  killable(FileOutbox.prototype, 'append');
  killable(IncidentStore.prototype, 'saveBook');
  killable(IncidentStore.prototype, 'put');
  killable(WorkloadStore.prototype, 'save');
});

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(stateDir, { recursive: true });
});

const spec = workloadFixture();
/** What each step of the supervisor tells: two failures, each with its way back, the second one with something in between. */
const steps: readonly (readonly EventKind[])[] = [
  ['workload.phase-changed', 'workload.ready'],
  ['container.died', 'restart.scheduled', 'workload.phase-changed'],
  ['container.created', 'workload.phase-changed'],
  ['process.started'],
  ['workload.phase-changed', 'workload.ready'],
  ['process.exited', 'restart.scheduled'],
  ['container.died', 'restart.scheduled'],
  ['process.started', 'workload.phase-changed', 'workload.ready'],
];
const toTell = (step: number): NewAgentEvent[] =>
  (steps[step] ?? []).map((kind, index) => ({
    at: 1_000 * step + index,
    kind,
    severity: 'info',
    workload: spec.name,
    message: `${step}.${index} ${kind}`,
    data: kind === 'container.died' ? { code: 'container-exited', level: 'container' } : {},
  }));

function keeping(): { readonly events: EventKeeping; readonly clock: ManualClock; readonly logged: string[] } {
  const clock = new ManualClock(50_000);
  const logged: string[] = [];
  const log = (...given: readonly unknown[]): void => void logged.push(JSON.stringify(given));
  const logger = { info: log, warn: log, error: log };
  const agent = { host: { name: 'h' }, workloads: [spec], collector: {} };
  const context = { clock, logger, stateDir, random: Math.random, spec: agent } as unknown as AgentContext;
  const about = { engine: {} as Engine, secrets: () => [], containerOf: () => null, kernelLines: () => [], secretsOf };
  return { events: new EventKeeping({ context, ...about }), clock, logged };
}

/** One life of the agent: goes on where the last one was, to the end or until it is killed. Gives all events that stand in the outbox. */
function live(writes: number): readonly NewAgentEvent[] | 'killed' {
  writesLeft = writes;
  try {
    const { events, clock } = keeping();
    const { emit, outbox: history } = events;
    const memory = new WorkloadMemory({ workload: spec.name, store: new WorkloadStore(stateDir), history, emit, clock });
    const saved = memory.recall();
    const state = saved === null ? initialState(0) : restore(saved.state, 0, 1);
    if (state.readyAt !== null) events.catchUp({ workload: spec.name, readyAt: state.readyAt });
    for (let step = state.nextRun - 1; step < steps.length; step += 1) {
      const kinds = steps[step] ?? [];
      const readyAt = kinds.includes('workload.ready') ? 1_000 * step + kinds.length - 1 : null;
      memory.keep({ ...state, nextRun: step + 2, readyAt }, { spec }, toTell(step));
      // Not a failed disk: the process is gone.
      if (writesLeft < 0) throw new Killed();
      if (step % 2 === 1) clock.advance(300);
    }
    events.incidents.incidents.stop();
    // Also what is not durable yet.
    history.close();
    return inAll(history);
  } catch (thrown) {
    if (thrown instanceof Killed) return 'killed';
    throw thrown;
  }
}

function inAll(outbox: FileOutbox): readonly NewAgentEvent[] {
  const all: NewAgentEvent[] = [];
  while (outbox.pending > 0) {
    const { epoch, seq } = outbox.sending;
    const run = outbox.read(seq, 1_000);
    all.push(...run);
    outbox.acknowledge({ epoch, seq: run.at(-1)?.seq ?? Infinity });
  }
  return all;
}

const documents = () =>
  readdirSync(join(stateDir, 'incidents'))
    .filter((name) => name !== 'book.json')
    .map((id) => incidentSchema.parse(JSON.parse(readFileSync(join(stateDir, 'incidents', id, 'incident.json'), 'utf8'))))
    .toSorted((a, b) => a.openedAt - b.openedAt);

/** Without what is drawn by lot. */
const story = (events: readonly NewAgentEvent[]): readonly string[] =>
  events.map(({ kind, message }) => (kind.startsWith('incident.') ? kind : message));

test('killed before any write whatever: the next life tells what is missing, and nothing twice; its incidents too', () => {
  const whole = live(Number.POSITIVE_INFINITY);
  if (whole === 'killed') throw new Error('nobody kills this one');
  const expected = story(whole);
  expect(expected.filter((line) => !line.startsWith('incident.'))).toEqual(
    steps.flatMap((_, step) => toTell(step).map(({ message }) => message)),
  );
  expect(expected.filter((line) => line.startsWith('incident.'))).toEqual([
    'incident.opened',
    'incident.closed',
    'incident.opened',
    'incident.closed',
  ]);
  const told = documents().map(({ timeline, attempts, closedAt, code }) => ({ timeline, attempts, closedAt, code }));
  expect(told).toHaveLength(2);
  let kills = 0;
  for (let killedAt = 0; ; killedAt += 1) {
    rmSync(stateDir, { recursive: true });
    if (live(killedAt) !== 'killed') break;
    kills += 1;
    // The life after it is killed as well, a little later.
    const second = live(killedAt % 5);
    const last = second === 'killed' ? live(Number.POSITIVE_INFINITY) : second;
    if (last === 'killed') throw new Error('nobody kills this one');
    const now = documents().map(({ timeline, attempts, closedAt, code }) => ({ timeline, attempts, closedAt, code }));
    expect({ killedAt, story: story(last), told: now }).toEqual({ killedAt, story: expected, told });
  }
  expect(kills).toBeGreaterThan(30);
});

test('whoever tells an event, no secret is in it: of its workload, or of any where it is the host that tells; conditions are found again', () => {
  writesLeft = Number.POSITIVE_INFINITY;
  const { events, logged } = keeping();
  const data = { lastLines: ['hunter2'], holder: { said: 'x hunter2' }, name: 'trainer' };
  const told = { kind: 'host.notice', severity: 'warning', message: 'it says hunter2, of trainer', data } as const;
  events.emit(told);
  events.emit({ ...told, workload: 'trainer' });
  events.emit({ ...told, data: { ...data, condition: 'trainer', subject: 'trainer', state: 'raised' } });
  const all = inAll(events.outbox);
  expect(JSON.stringify([all, logged, events.recent.list()])).not.toContain('hunter2');
  expect(all.map(({ message }) => message)).toEqual([
    'it says [redacted], of [redacted]',
    'it says [redacted], of trainer',
    'it says [redacted], of [redacted]',
  ]);
  expect(all[1]?.data).toEqual({ lastLines: ['[redacted]'], holder: { said: 'x [redacted]' }, name: 'trainer' });
  expect(all[2]?.data).toMatchObject({ condition: 'trainer', subject: 'trainer', state: 'raised', name: '[redacted]' });
});
