/** What a cloud announces about this machine, in our words, and what it means. Pure. */
import { formatDurationMs } from '@relight/shared/units';
import type { ReportedCondition } from '../condition-diff.ts';

export type CloudProvider = 'gcp' | 'aws' | 'azure';

export interface CloudNotice {
  /** `preemption`: taken away for good. `freeze`: paused for seconds to minutes, then goes on as it was. */
  readonly kind: 'preemption' | 'maintenance' | 'reboot' | 'freeze';
  /** When it begins, epoch milliseconds; null: now, or at any moment. */
  readonly at: number | null;
  /** Without a time: how long this cloud leaves from its first word on. */
  readonly graceMs?: number;
  /** What the cloud said, for a person. */
  readonly text: string;
  /** A warning only (a rebalance recommendation): nothing is certain, so nothing is held back. */
  readonly uncertain?: true;
}

/** A notice for later than this is no reason to hold anything back yet. */
export const imminentMs = 10 * 60_000;
/** Relight holds restarts back no longer than this behind the announced beginning: what was called off is not always told. */
export const overdueMs = 30 * 60_000;

export function isImminent({ at, uncertain }: CloudNotice, now: number): boolean {
  if (uncertain === true) return false;
  return at === null || (at - now <= imminentMs && now - at < overdueMs);
}

/** Until the cloud acts; null: it does not say, or only warns. */
function leftMs({ at, graceMs, uncertain }: CloudNotice, now: number): number | null {
  if (uncertain === true) return null;
  return at === null ? (graceMs ?? null) : Math.max(0, at - now);
}

export function noticeCondition(notice: CloudNotice, provider: CloudProvider, now: number): ReportedCondition {
  const { kind, at, text } = notice;
  const left = leftMs(notice, now);
  const when = at !== null && at > now ? `in ${formatDurationMs(at - now)}` : 'now';
  const facts = left === null ? {} : { data: { leftMs: left } };
  const reason = `${names[provider]} announces ${what[kind]} ${when}: ${text}`;
  if (!isImminent(notice, now)) {
    const advice = 'Plan for it: move the work away before, or let it happen; Relight brings the workloads back afterwards.';
    return { name: 'maintenance-scheduled', subject: kind, severity: 'warning', reason, advice, ...facts };
  }
  const name = kind === 'preemption' ? 'preemption' : 'maintenance';
  const advice =
    kind === 'preemption' ? 'Nothing: create another machine if you still need it.' : 'Nothing: the workloads come back with the machine.';
  return { name, subject: '', severity: 'warning', reason, advice, ...facts };
}

const names: Readonly<Record<CloudProvider, string>> = { gcp: 'Google Cloud', aws: 'AWS', azure: 'Azure' };
const what: Readonly<Record<CloudNotice['kind'], string>> = {
  preemption: 'that it takes this machine away',
  maintenance: 'maintenance of this machine',
  reboot: 'a reboot of this machine',
  freeze: 'a pause of this machine',
};

/** The one that matters most now: a preemption before everything else, then what begins first. */
export function worstImminent(notices: readonly CloudNotice[], now: number): CloudNotice | null {
  const imminent = notices.filter((notice) => isImminent(notice, now));
  return imminent.find(({ kind }) => kind === 'preemption') ?? imminent.toSorted((a, b) => (a.at ?? 0) - (b.at ?? 0))[0] ?? null;
}
