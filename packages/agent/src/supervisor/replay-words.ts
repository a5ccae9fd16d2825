/** What happened and what was decided, in words. Pure. */
import { formatDurationMs } from '@relight/shared/units';
import { stageOf } from './advance.ts';
import type { Effect, SupervisorEvent } from './event.ts';
import type { JournalSnapshot } from './journal.ts';
import type { ReplayedStep } from './replay.ts';
import type { WorkloadState } from './state.ts';

type Meeting = Pick<ReplayedStep, 'input' | 'snapshot' | 'before'>;
type Words = { readonly [T in SupervisorEvent['type']]?: (event: Extract<SupervisorEvent, { type: T }>, meeting: Meeting) => string };

const words: Words = {
  tick: () => 'a wait is over',
  observed: (event, { before }) =>
    `the engine says: ${containersText(event, before)}${event.afterOutage ? '; it was away in between' : ''}`,
  'engine-lost': ({ reason }) => `the engine does not answer: ${reason}`,
  'container-silent': ({ reason }) => reason,
  'op-done': opDoneText,
  'run-exited': (event, { before }) =>
    `a run ended: ${kindOfRun(event.runId, before)}, ${exitText(event)}${event.containerAlive ? '' : '; the container seems dead'}`,
  check: ({ list, name, ok, message }) => `${list} check ${name}: ${ok ? 'passes' : 'fails'}: ${message}`,
  'mount-check': ({ mount, condition, message }) => `mount ${mount}: ${condition}: ${message}`,
  oom: ({ process }) => `the kernel killed ${process === null ? 'a process' : `${process.name} (pid ${process.pid})`} for want of memory`,
  accelerator: ({ message }) => `an accelerator: ${message}`,
  'image-changed': () => 'an image has appeared on the engine',
  pause: ({ reason }) => `paused by hand: ${reason}`,
  resume: () => 'resumed by hand',
  restart: ({ level, reason }) => `a restart of the ${level} by hand: ${reason}`,
  'spec-changed': ({ fields }) => `the configuration changed: ${fields.join(', ')}`,
  gate: ({ open, reason }) => (open ? 'the gate of the host is open' : `the gate of the host is closed: ${reason}`),
  drain: ({ reason }) => `the machine will go away: ${reason}`,
  spare: ({ offer }) => (offer === null ? 'there is no spare to take' : `a spare is prepared: generation ${offer.generation}`),
  fleet: ({ size }) => `the fleet has ${size} agents`,
  'inputs-changed': ({ what }) => `changed: ${what.join(', ')}`,
  'drain-over': () => 'the machine stays after all',
};

/** What reached the supervisor; what has no words of its own is called by its name. */
export function inputText(meeting: Meeting): string {
  const { event } = meeting.input;
  const text = words[event.type] as ((event: SupervisorEvent, meeting: Meeting) => string) | undefined;
  return text?.(event, meeting) ?? event.type;
}

function containersText({ containers }: Extract<SupervisorEvent, { type: 'observed' }>, { container }: WorkloadState): string {
  const known = containers.find(({ id }) => id === container?.id);
  if (known !== undefined) return `the container is ${known.status}${known.exitCode === null ? '' : ` (exit code ${known.exitCode})`}`;
  if (container !== null) return 'the container is gone';
  return containers.length === 0 ? 'there is no container' : `${containers.length} other container(s)`;
}

function opDoneText({ opId, result }: Extract<SupervisorEvent, { type: 'op-done' }>, { input, snapshot, before: { op } }: Meeting): string {
  if (op?.id !== opId) return 'an operation that nobody waits for has ended';
  const what = `operation ${opId} (${stageOf(op.op, snapshot.spec)})`;
  const took = formatDurationMs(Math.max(0, input.now - op.startedAt));
  return result.ok ? `${what} done in ${took}` : `${what} failed after ${took}: ${result.failure.code}: ${result.failure.message}`;
}

function kindOfRun(runId: string, { process, mounts }: WorkloadState): string {
  if (process?.runId === runId) return 'the process';
  const mount = Object.entries(mounts).find(([, { run }]) => run?.runId === runId)?.[0];
  return mount === undefined ? 'an earlier run' : `the program of mount ${mount}`;
}

const exitText = ({ exitCode, signal }: { readonly exitCode: number | null; readonly signal: string | null }): string =>
  exitCode === null ? 'killed' : `exit code ${exitCode}${signal === null ? '' : ` (${signal})`}`;

/** Each decision of a step, in the order in which it was carried out. */
export function decisionTexts({ effects, before, after, snapshot }: ReplayedStep): readonly string[] {
  const texts = effects.map((effect) => effectText(effect, before, snapshot));
  // A reason that changes while the phase stays is no event, but it is what people see.
  const entered = effects.some((effect) => effect.kind === 'emit' && effect.event.kind === 'workload.phase-changed');
  if (!entered && after.reason !== before.reason) texts.push(`${after.phase}: ${after.reason}`);
  return texts;
}

function effectText(effect: Effect, before: WorkloadState, { spec }: JournalSnapshot): string {
  if (effect.kind === 'emit') {
    const { kind, message, data } = effect.event;
    return kind === 'workload.phase-changed' ? `${String(data['from'])} → ${message}` : `${kind}: ${message}`;
  }
  if (effect.kind === 'run') return `begin operation ${effect.opId}: ${stageOf(effect.op, spec)}`;
  if (effect.kind === 'cancel')
    return `cancel operation ${effect.opId}${before.op?.id === effect.opId ? ` (${stageOf(before.op.op, spec)})` : ''}`;
  if (effect.kind === 'observe') return 'look at the engine';
  if (effect.kind === 'probe-mount') return `look at mount ${effect.mount}`;
  if (effect.kind === 'sweep') return `remove ${effect.containerIds.length} old container(s)`;
  return (effect as Effect).kind;
}
