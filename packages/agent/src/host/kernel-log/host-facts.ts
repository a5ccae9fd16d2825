/** Facts of the kernel log → conditions of the host: what is still true now. Pure. */
import { formatBytes } from '@relight/shared/units';
import type { ReportedCondition } from '../condition-diff.ts';
import type { KernelFact } from './facts.ts';
import { xidVerdict } from './xid.ts';

/** A condition with the time at which it was said last, epoch milliseconds. */
export interface TimedCondition {
  readonly condition: ReportedCondition;
  readonly at: number;
  readonly lastsMs: number | 'boot';
}

const minute = 60_000;
/** A broken disk can say a thousand different things. */
const conditionsMax = 40;

/** Null: it is no matter of the host. */
export function timedCondition(fact: KernelFact, at: number): TimedCondition | null {
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

/**
 * A file system that the kernel made read-only is over when it is mounted writable again: `writable` are the names of the devices of
 * such mounts (`sda1`, `dm-0`).
 */
export function withoutRemounted(known: readonly TimedCondition[], writable: ReadonlySet<string>): readonly TimedCondition[] {
  const isOver = ({ condition: { name, subject } }: TimedCondition): boolean => name === 'read-only-filesystem' && writable.has(subject);
  return known.some(isOver) ? known.filter((timed) => !isOver(timed)) : known;
}
