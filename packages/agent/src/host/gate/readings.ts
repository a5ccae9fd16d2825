/** What each condition of the gate says now. Thin: reads a few small files, and keeps nothing. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isoTime } from '@relight/shared/api';
import { errorMessage } from '@relight/shared/errors';
import { formatDurationMs } from '@relight/shared/units';
import type { GateSpec } from '../../config/spec.ts';
import type { ReportedCondition } from '../conditions.ts';
import { readBootId } from '../boot-id.ts';
import type { Reading } from './gate.ts';
import { readHandsOff, type GuardSpec, type HandsOff } from './hands-off.ts';
import { describeHolder, packageManagerAtWork } from './package-managers.ts';
import { isReboot, readRebootRequired, readScheduledShutdown } from './pending-reboot.ts';

export interface ReadingsOptions {
  readonly spec: GateSpec;
  readonly guard: GuardSpec;
  /** '/' is the host's own; a test has another one. */
  readonly root?: string;
  readonly procRoot?: string;
}

/** Reading and, where a person should know of it even while nothing waits, the condition of the host. */
export interface Seen {
  readonly reading: Reading;
  readonly condition?: ReportedCondition;
}

/** These must be fine before host commands run; they may be what brings up the engine or the network. */
export const beforeSetup: ReadonlySet<string> = new Set(['hands-off', 'boot', 'package manager', 'pending reboot', 'scheduled shutdown']);

const settles = (name: string, ok: boolean, message: string): Reading => ({ name, hold: 'settles', ok, message });

export function seeHandsOff({ guard }: ReadingsOptions, wallNow: number): Seen & { readonly handsOff: HandsOff | null } {
  const handsOff = readHandsOff(guard, wallNow);
  const base = { name: 'hands-off', hold: 'firm' } as const;
  if (handsOff === null) return { handsOff, reading: { ...base, ok: true, message: `no ${guard.file}` } };
  const { reason, until, active } = handsOff;
  if (active) {
    const message = `hands off until ${isoTime(until)}: ${reason}`;
    const advice = `Remove ${guard.file} when the work is done.`;
    return {
      handsOff,
      reading: { ...base, ok: false, message },
      condition: { name: 'hands-off', subject: '', severity: 'info', reason: message, advice },
    };
  }
  const message = `${guard.file} is older than ${formatDurationMs(guard.maxAgeMs)} and counts no more: ${reason}`;
  const advice = `Remove ${guard.file}, or touch it if the work goes on.`;
  return {
    handsOff,
    reading: { ...base, ok: true, message },
    condition: { name: 'hands-off-expired', subject: '', severity: 'warning', reason: message, advice },
  };
}

/** `bootId`: the one of the last look. */
export function seeBoot({ procRoot = '/proc' }: ReadingsOptions, bootId: string): Seen & { readonly bootId: string } {
  const present = readBootId(procRoot);
  const up = formatDurationMs(readUptimeMs(procRoot));
  const message = present === bootId ? `up for ${up}` : 'the boot id has changed';
  return { bootId: present, reading: settles('boot', present === bootId, message) };
}

/** Since the machine booted. */
export function readUptimeMs(procRoot = '/proc'): number {
  return Math.round(Number(readFileSync(join(procRoot, 'uptime'), 'utf8').split(' ')[0]) * 1_000);
}

const packageManager = 'package manager';

/** Before the first answer: it holds the gate, and is no news to anybody. */
export const packageManagerUnknown: Seen = { reading: { ...settles(packageManager, false, 'not asked yet'), toldElsewhere: true } };
export const asksPackageManager = ({ packageManagerIdle, lockFiles }: GateSpec): boolean => packageManagerIdle || lockFiles.length > 0;

export async function seePackageManager({ spec, root, procRoot }: ReadingsOptions): Promise<Seen> {
  const name = packageManager;
  try {
    const holder = await packageManagerAtWork({
      ...(root === undefined ? {} : { root }),
      ...(procRoot === undefined ? {} : { procRoot }),
      furtherFiles: spec.lockFiles,
      only: spec.packageManagerIdle ? 'all' : 'further',
    });
    if (holder === null) return { reading: settles(name, true, 'idle') };
    const message = describeHolder(holder);
    const condition: ReportedCondition = {
      name: 'package-manager-busy',
      subject: '',
      severity: 'info',
      reason: message,
      advice: 'Nothing, unless it lasts: then look at that process. An update that nobody wants is kept away with host.setup.',
    };
    return { reading: { ...settles(name, false, message), cause: holder.name }, condition };
  } catch (error) {
    return { reading: settles(name, true, `cannot be told: ${errorMessage(error)}`) };
  }
}

/** A reboot that was not made for longer than the gate waits will not come by itself: it is reported, and not waited for. */
export function seePendingReboot({ spec, root }: ReadingsOptions, wallNow: number): Seen {
  const name = 'pending reboot';
  const required = readRebootRequired(root);
  if (required === null) return { reading: settles(name, true, 'none is asked for') };
  const packages = required.packages.slice(0, 3).join(', ') + (required.packages.length > 3 ? ' …' : '');
  const reason = `a reboot is required since ${isoTime(Math.round(required.since))}${packages === '' ? '' : ` (${packages})`}`;
  const awaited = spec.pendingReboot === 'wait' && wallNow - required.since < spec.timeoutMs;
  const condition: ReportedCondition = {
    name: 'reboot-pending',
    subject: '',
    severity: 'warning',
    reason,
    advice: 'Reboot the host when its work allows it: systemctl reboot.',
  };
  return { reading: settles(name, !awaited, awaited ? reason : `${reason}; not waited for`), condition };
}

/** One that is further away than the gate waits is only reported. */
export function seeScheduledShutdown({ spec, root }: ReadingsOptions, wallNow: number): Seen {
  const name = 'scheduled shutdown';
  const scheduled = readScheduledShutdown(root);
  // One in the past was carried out or has failed.
  if (scheduled === null || wallNow - scheduled.at > 60_000) return { reading: settles(name, true, 'none') };
  const reason = `${isReboot(scheduled.mode) ? 'a reboot' : `a shutdown (${scheduled.mode})`} is scheduled for ${isoTime(scheduled.at)}`;
  // Tomorrow's is no news; what falls silent today falls silent for another reason.
  if (scheduled.at - wallNow >= spec.timeoutMs) return { reading: settles(name, true, `${reason}; not waited for`) };
  const condition: ReportedCondition = {
    name: isReboot(scheduled.mode) ? 'reboot-scheduled' : 'shutdown-scheduled',
    subject: '',
    severity: 'info',
    reason,
    advice: 'Nothing; shutdown -c cancels it.',
  };
  return { reading: settles(name, false, reason), condition };
}
