/** Why the agent is being stopped: by a person, or because the machine goes down, and whether it will come back. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import { runChild } from '@relight/shared/child';
import { isReboot, readScheduledShutdown, saysGoingDown, type ScheduledShutdown } from './gate/pending-reboot.ts';

/** `poweroff`: it does not come back by itself. */
export type GoingDown = 'no' | 'reboot' | 'poweroff';

/**
 * systemd answers in milliseconds, but systemctl has to be started while everything on the machine is being stopped: with a twentieth of
 * a core that takes a second by itself. The goodbye (2 s) has to follow within the unit's TimeoutStopSec= (15 s).
 */
const deadlineMs = 8_000;
/** From here on logind lets nobody log in: the shutdown is as good as under way. */
const imminentMs = 5 * 60_000;

export interface ShutdownFacts {
  /** What `systemctl list-jobs` says; null: there is no systemd, or it does not answer any more. */
  readonly jobs: string | null;
  readonly scheduled: ScheduledShutdown | null;
  /** /run/nologin says so. */
  readonly goingDown: boolean;
  /** Epoch milliseconds by the wall clock. */
  readonly wallNow: number;
}

/** Pure. A job decides; without one, a shutdown that is due at any moment. */
export function judgeShutdown({ jobs, scheduled, goingDown, wallNow }: ShutdownFacts): GoingDown {
  //  98 reboot.target start waiting
  const target = /^\s*\d+\s+(reboot|kexec|soft-reboot|poweroff|halt|exit)\.target\s+start\b/m.exec(jobs ?? '')?.[1];
  if (target !== undefined) return isReboot(target) ? 'reboot' : 'poweroff';
  // The job is gone when the target is reached, or it has another name: down it goes, and most machines come back.
  if (/^\s*\d+\s+shutdown\.target\s+start\b/m.test(jobs ?? '')) return 'reboot';
  const imminent = scheduled !== null && scheduled.at - wallNow < imminentMs;
  if (imminent) return isReboot(scheduled.mode) ? 'reboot' : 'poweroff';
  // systemd that has no such job is not going down, whatever an old file says.
  return jobs === null && goingDown ? 'reboot' : 'no';
}

export interface ShutdownOptions {
  readonly clock: Clock;
  /** '/' is the host's own; a test has another one. */
  readonly root?: string;
}

/**
 * Whoever is stopped with the machine asks in time: the jobs of a shutdown are there before the first service is told to stop, and
 * stay until the last one has ended. Takes as long as systemctl does, 8 s at most; what files say then decides.
 */
export async function machineGoesDown({ clock, root = '/' }: ShutdownOptions): Promise<GoingDown> {
  const jobs = existsSync(join(root, 'run/systemd/system')) ? await listJobs(clock) : null;
  return judgeShutdown({ jobs, scheduled: readScheduledShutdown(root), goingDown: saysGoingDown(root), wallNow: clock.now() });
}

async function listJobs(clock: Clock): Promise<string | null> {
  const child = await runChild({
    argv: ['systemctl', 'list-jobs', '--no-legend', '--no-pager', '--plain'],
    clock,
    timeoutMs: deadlineMs,
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  return child.exitCode === 0 ? child.stdout : null;
}
