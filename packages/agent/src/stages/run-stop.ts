/** Ends runs: politely by process group, then for certain, and only what provably belongs to them. */
import { type Clock, delay } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import { isAlive } from './proc.ts';
import type { ContainerProcess } from './run-members.ts';

/** A process that survives SIGKILL for this long is in D state. */
const afterKillMs = 5_000;
const pollMs = { first: 2, last: 50 };

export interface StopContext {
  readonly procRoot: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The living processes of the runs, anew at each call. */
  readonly members: () => Promise<readonly ContainerProcess[]>;
}

/** Fails with process-stuck, or cancelled. */
export async function stopMembers(context: StopContext, graceMs: number): Promise<void> {
  let members = await context.members();
  if (members.length > 0 && graceMs > 0) {
    const main = members.filter(({ pgrp, session }) => pgrp === session);
    signalGroups(context, main, 'SIGTERM');
    await waitGone(context, main, graceMs);
    members = await context.members();
  }
  const deadline = context.clock.monotonic() + afterKillMs;
  while (members.length > 0) {
    const left = deadline - context.clock.monotonic();
    if (left <= 0) throw stuck(members);
    // Groups first: a signal to a group leaves no room for a fork in between.
    signalGroups(context, members, 'SIGKILL');
    for (const member of members) signalProcess(context, member, 'SIGKILL');
    await waitGone(context, members, left);
    members = await context.members();
  }
}

/** Only groups whose leader or session is a member's own: a group never crosses sessions. */
function signalGroups(context: StopContext, members: readonly ContainerProcess[], signal: NodeJS.Signals): void {
  const led = members.filter((member) => member.pgrp === member.session || member.pgrp === member.pid);
  // Any living member vouches for the group: another one, a short-lived child of a shell, may have ended since it was listed.
  const alive = led.filter(({ pid, startTicks }) => isAlive(context.procRoot, pid, startTicks));
  for (const group of new Set(alive.map(({ pgrp }) => pgrp))) kill(-group, signal);
}

function signalProcess({ procRoot }: StopContext, { pid, startTicks }: ContainerProcess, signal: NodeJS.Signals): void {
  if (isAlive(procRoot, pid, startTicks)) kill(pid, signal);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw toRelightError(error);
  }
}

async function waitGone({ procRoot, clock, signal }: StopContext, members: readonly ContainerProcess[], ms: number): Promise<void> {
  const deadline = clock.monotonic() + ms;
  for (let pause = pollMs.first; ; pause = Math.min(pause * 2, pollMs.last)) {
    if (!members.some(({ pid, startTicks }) => isAlive(procRoot, pid, startTicks))) return;
    const left = deadline - clock.monotonic();
    if (left <= 0) return;
    await delay(clock, Math.min(pause, left), signal);
  }
}

function stuck(members: readonly ContainerProcess[]): RelightError {
  const names = members.slice(0, 5).map(({ pid, comm, state }) => `${comm} (pid ${pid}, state ${state})`);
  return new RelightError('process-stuck', `${members.length} processes survive SIGKILL: ${names.join(', ')}`, {
    data: { pids: members.map(({ pid }) => pid) },
  });
}
