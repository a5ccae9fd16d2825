/** Facts of the kernel log → conditions of the host: what is still true now. Pure. */
import { formatBytes } from '@relight/shared/units';
import type { ReportedCondition } from '../condition-diff.ts';
import type { BlockMount } from './block-mounts.ts';
import type { KernelFact, UnmountedFact } from './facts.ts';
import { xidVerdict } from './xid.ts';

/** A condition with the time at which it was said last, epoch milliseconds. */
export interface TimedCondition {
  readonly condition: ReportedCondition;
  readonly at: number;
  readonly lastsMs: number | 'boot';
  /** Its file system was seen mounted; it may be mounted no more. */
  readonly mounted?: boolean;
}

const minute = 60_000;
/** A broken disk can say a thousand different things. */
const conditionsMax = 40;

/** Null: it is no matter of the host. */
export function timedCondition(fact: Exclude<KernelFact, UnmountedFact>, at: number): TimedCondition | null {
  switch (fact.kind) {
    case 'trouble': {
      const { name, subject, severity, reason, advice, lastsMs } = fact;
      return { condition: { name, subject, severity, reason, advice }, at, lastsMs };
    }
    case 'xid':
      return xidCondition(fact, at);
    case 'oom': {
      if (fact.constraint !== 'host') return null;
      const size = fact.residentBytes === null ? '' : `, which held ${formatBytes(fact.residentBytes)}`;
      const reason = `the host ran out of memory; the kernel killed ${fact.name} (pid ${fact.pid})${size}`;
      const advice = 'Lower what runs on this host, or give its containers memory limits so that the right one is killed.';
      return { condition: { name: 'out-of-memory', subject: '', severity: 'error', reason, advice }, at, lastsMs: 15 * minute };
    }
  }
}

/** A card that has left the bus stays away until a boot; whether any other was reset, an hour of quiet tells. */
function xidCondition(fact: Extract<KernelFact, { kind: 'xid' }>, at: number): TimedCondition | null {
  const { severity, action, advice } = xidVerdict(fact);
  if (action === 'ignore') return null;
  const reason = `Xid ${fact.code}: ${fact.text === '' ? 'no text' : fact.text.slice(0, 300)}`;
  const subject = `${fact.address} ${fact.code}`;
  return { condition: { name: 'gpu-xid', subject, severity, reason, advice }, at, lastsMs: action === 'replace' ? 'boot' : 60 * minute };
}

/** One a name and subject, the newest; what is over is gone. */
export function remember(known: readonly TimedCondition[], found: readonly TimedCondition[], now: number): readonly TimedCondition[] {
  const byKey = new Map<string, TimedCondition>();
  for (const timed of [...known, ...found]) {
    const key = `${timed.condition.name} ${timed.condition.subject}`;
    // The newest stands last.
    byKey.delete(key);
    if (timed.lastsMs === 'boot' || now - timed.at < timed.lastsMs) byKey.set(key, timed);
  }
  return [...byKey.values()].slice(-conditionsMax);
}

const readOnly = 'read-only-filesystem';

/** A person knows directories, not devices. */
export function mountedAt(timed: TimedCondition, mounts: () => readonly BlockMount[]): TimedCondition {
  const { condition } = timed;
  if (condition.name !== readOnly) return timed;
  const found = mounts().find(({ names }) => names.includes(condition.subject));
  if (found === undefined) return timed;
  return { ...timed, mounted: true, condition: { ...condition, reason: `${condition.reason}; it is mounted at ${found.mountPoint}` } };
}

/** A file system that the kernel made read-only is over when it is mounted writable again, or was taken away. */
export function withoutRemounted(known: readonly TimedCondition[], mounts: readonly BlockMount[]): readonly TimedCondition[] {
  const writable = new Set(mounts.flatMap((mount) => (mount.writable ? mount.names : [])));
  const there = new Set(mounts.flatMap(({ names }) => names));
  return without(known, (device, { mounted }) => writable.has(device) || (mounted === true && !there.has(device)));
}

/** It is mounted nowhere any more, for a repair or because the disk was taken out: neither are its errors anybody's any more. */
export function withoutUnmounted(known: readonly TimedCondition[], device: string): readonly TimedCondition[] {
  const ofFileSystem = new Set([readOnly, 'filesystem-errors']);
  return known.filter(({ condition: { name, subject } }) => !ofFileSystem.has(name) || subject !== device);
}

function without(known: readonly TimedCondition[], isOver: (device: string, timed: TimedCondition) => boolean): readonly TimedCondition[] {
  const over = (timed: TimedCondition): boolean => timed.condition.name === readOnly && isOver(timed.condition.subject, timed);
  return known.some(over) ? known.filter((timed) => !over(timed)) : known;
}
