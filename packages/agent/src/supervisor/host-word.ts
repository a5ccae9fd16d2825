/** What the host has to say: its gate, its coming end, memory that ran out, a faulty accelerator. */
import type { SupervisorEvent } from './event.ts';
import { fail, failureWith as failure } from './failure.ts';
import type { WorkloadState } from './state.ts';
import type { Work } from './work.ts';

type EventOf<T extends SupervisorEvent['type']> = Extract<SupervisorEvent, { type: T }>;

/** The kernel log and the engine tell of one killing within this; a process that is killed anew needs longer to grow. */
const sameOomMs = 5_000;

/** Why no attempt may begin now; null: it may. */
export function blocked({ gate, drain }: WorkloadState): string | null {
  if (drain !== null) return drain.reason;
  return gate.open ? null : gate.reason;
}

export function onGate(work: Work, { open, reason }: EventOf<'gate'>): void {
  work.set({ gate: { open, reason } });
}

export function onDrain(work: Work, { reason, until }: EventOf<'drain'>): void {
  work.set({ drain: { reason, until } });
}

/** What broke meanwhile is looked for, and tried at once. */
export function onDrainOver(work: Work): void {
  if (work.state.drain === null) return;
  const { attempt } = work.state;
  work.set({ drain: null, backOff: null });
  if (attempt !== null) work.set({ attempt: { ...attempt, startedAt: work.now, prepared: false } });
  work.effect({ kind: 'observe' });
}

/** Which process it was, and whether the container survives it: the next look and the ends of runs tell. */
export function onOom(work: Work, { process, constraint }: EventOf<'oom'>): void {
  const { oom } = work.state;
  const pid = process?.pid ?? null;
  const known = oom !== null && work.now - oom.at < sameOomMs && (pid === null || oom.pid === null || oom.pid === pid);
  if (known) {
    if (oom.pid === null && pid !== null) work.set({ oom: { ...oom, pid } });
    return;
  }
  const who = process === null ? 'a process' : `${process.name} (pid ${process.pid})`;
  const { memoryBytes } = work.spec.container;
  const whose = constraint === 'host' ? 'the host ran out of memory' : 'the container reached its memory limit';
  const message = `the kernel killed ${who}: ${whose}`;
  work.emit('container.oom', 'warning', message, {
    code: 'process-oom',
    level: 'process',
    constraint,
    ...(constraint === 'container' && memoryBytes !== undefined ? { limitBytes: memoryBytes } : {}),
    ...(process === null ? {} : { pid: process.pid, process: process.name }),
  });
  work.set({ oom: { at: work.now, pid, message, pending: work.state.container?.running === true } });
  work.effect({ kind: 'observe' });
}

/** The engine has been asked since, and the container lives on: what was left of the process level is of no use. */
export function afterOom(work: Work): void {
  const { oom, container, process, readyAt, verifyingSince } = work.state;
  if (oom?.pending !== true || container?.running !== true) return;
  work.set({ oom: { ...oom, pending: false } });
  // On the way there: the step that lost a process fails by itself, or its checks do.
  if (readyAt === null && verifyingSince === null) return;
  work.cancelOp();
  if (work.spec.process === null) work.set({ replace: true });
  else if (process !== null) work.set({ stop: 'now' });
  fail(work, failure('process-oom', oom.message), work.spec.process === null ? 'container' : 'process');
}

/** The last killing explains an end that comes with it, and is answered by the same restart. */
export function takeOom(work: Work): string | null {
  const { oom } = work.state;
  if (oom === null || work.now - oom.at >= sameOomMs || !oom.pending) return null;
  work.set({ oom: { ...oom, pending: false } });
  return oom.message;
}

export function onAccelerator(work: Work, event: EventOf<'accelerator'>): void {
  const { code, message, level, recoverable, data } = event;
  const known = work.state.held?.failure;
  if (known?.code === code && known.message === message) return;
  // An attempt is under way or due already: it ends in the same fault, or shows that the fault is gone.
  const up = work.state.readyAt !== null || work.state.verifyingSince !== null;
  if (!up && recoverable && level !== 'host') return;
  if (recoverable && level !== 'host') {
    work.cancelOp();
    if (level === 'container' || work.spec.process === null) work.set({ replace: work.state.container !== null });
    else if (work.state.process !== null) work.set({ stop: 'now' });
  }
  fail(
    work,
    {
      ...failure(code, message, { ...data, level }),
      recoverable: recoverable && level !== 'host',
      ...(typeof data['advice'] === 'string' ? { advice: data['advice'] } : {}),
    },
    level === 'process' && work.spec.process !== null ? 'process' : 'container',
  );
}
