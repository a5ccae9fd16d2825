/**
 * May this host recover anything now? Pure: readings of its conditions and the time go in, open or waiting comes out.
 *
 *   open ──a condition fails──▶ waiting ──all fine, quiet for `quietForMs`──▶ open
 *                                  └──the deadline: what is still unsatisfied is waived──▶ open
 *
 * A waived condition counts again once it was satisfied, so that one cause costs one wait. A firm condition is never waived:
 * somebody's hands on the machine, a host command that must succeed, an engine that is away.
 */
import { formatDurationMs } from '@relight/shared/units';

export interface GatePolicy {
  /** How long everything must have been satisfied before the gate opens. */
  readonly quietForMs: number;
  /** From the first disturbance to the deadline. */
  readonly timeoutMs: number;
}

/** How a condition holds the gate. */
export type Hold =
  /** Must have been satisfied for the quiet time; waived at the deadline. */
  | 'settles'
  /** Counts as long as it is unsatisfied, without quiet time and without deadline. */
  | 'firm';

export interface Reading {
  readonly name: string;
  readonly hold: Hold;
  readonly ok: boolean;
  /** What was seen, for a person: `apt-get (pid 812) holds /var/lib/dpkg/lock-frontend`. */
  readonly message: string;
  /** Tells one cause from the next where the message has numbers in it. Default: the message. */
  readonly cause?: string;
  /** Events of its own tell of it, or nothing has been seen yet: the gate's need not. */
  readonly toldElsewhere?: boolean;
}

export interface GateCondition extends Reading {
  /** Of `ok`; minus infinity: as long as anybody can tell. */
  readonly since: number;
  /** The deadline came while it was unsatisfied: it holds nothing back until it was satisfied once. */
  readonly waived: boolean;
}

export interface GateState {
  readonly open: boolean;
  /** Since when it is open, or waits. */
  readonly since: number;
  readonly reason: string;
  /** When what settles is waived; null while nothing of that kind disturbs. */
  readonly deadlineAt: number | null;
  readonly conditions: readonly GateCondition[];
  /** Causes that this wait was told with. */
  readonly told: readonly string[];
}

export type GateNews =
  /** Waits, for a cause that was not told yet in this wait. */
  | { readonly kind: 'waiting' }
  /** Opened after a wait. */
  | { readonly kind: 'opened'; readonly waitedMs: number }
  /** The deadline has come for these. */
  | { readonly kind: 'waived'; readonly conditions: readonly GateCondition[] };

export interface GateStep {
  readonly state: GateState;
  readonly news: readonly GateNews[];
}

/** Before the first look nothing is known, and nothing may begin. */
export function initialGate(now: number): GateState {
  return { open: false, since: now, reason: 'the host has not been looked at yet', deadlineAt: null, conditions: [], told: [] };
}

/**
 * One look at everything. `settled`: what is fine at the first look has been so for long (a machine that has been up for a
 * while); otherwise (after a boot) its quiet time begins now. `now` never goes back.
 */
export function look(before: GateState, readings: readonly Reading[], policy: GatePolicy, now: number, settled = true): GateStep {
  const first = before.conditions.length === 0;
  const known = new Map(before.conditions.map((condition) => [condition.name, condition]));
  const read = readings.map((reading) => judge(reading, known.get(reading.name), first && settled, policy, now));

  const disturbing = read.filter((condition) => disturbs(condition, policy, now));
  const deadlineAt = disturbing.length === 0 ? null : (before.deadlineAt ?? now + policy.timeoutMs);
  const expired = deadlineAt !== null && now >= deadlineAt;
  const conditions = expired
    ? read.map((condition) => (disturbing.includes(condition) ? { ...condition, waived: true } : condition))
    : read;
  const nowWaived = expired ? disturbing.filter(({ ok }) => !ok) : [];

  const firm = conditions.filter(({ hold, ok }) => hold === 'firm' && !ok);
  const open = firm.length === 0 && (expired || disturbing.length === 0);
  const causes = conditions
    .filter(({ ok, waived, toldElsewhere }) => !ok && !waived && toldElsewhere !== true)
    .map(({ name, cause, message }) => `${name}: ${cause ?? message}`);
  const fresh = !open && causes.some((cause) => !before.told.includes(cause));
  const state: GateState = {
    open,
    since: open === before.open && !first ? before.since : now,
    reason: reasonOf(conditions, open, policy),
    deadlineAt: expired ? null : deadlineAt,
    conditions,
    told: open ? [] : fresh ? [...before.told, ...causes.filter((cause) => !before.told.includes(cause))] : before.told,
  };
  const news: GateNews[] = [];
  if (nowWaived.length > 0) news.push({ kind: 'waived', conditions: nowWaived });
  if (fresh) news.push({ kind: 'waiting' });
  // A wait that nobody was told of ends without a word.
  if (open && !before.open && before.told.length > 0) news.push({ kind: 'opened', waitedMs: now - before.since });
  return { state, news };
}

/** When a look is due by time alone: a quiet time or the deadline ends. Null: only the host can change anything. */
export function gateDueAt({ open, deadlineAt, conditions }: GateState, { quietForMs }: GatePolicy, now: number): number | null {
  if (open) return null;
  const quietAt = Math.max(
    ...conditions.filter(({ hold, waived }) => hold === 'settles' && !waived).map(({ since }) => since + quietForMs),
  );
  // While one is unsatisfied its quiet time is not the end of anything, and a look too early only looks again.
  const due = [quietAt, deadlineAt ?? Infinity].filter((at) => at > now && Number.isFinite(at));
  return due.length === 0 ? null : Math.min(...due);
}

/** Whether these conditions, those that are named, would let something pass. For what comes before the others: host setup. */
export function clearOf({ conditions }: GateState, names: (name: string) => boolean, policy: GatePolicy, now: number): boolean {
  const asked = conditions.filter(({ name }) => names(name));
  return (
    conditions.length > 0 && asked.every((condition) => !disturbs(condition, policy, now) && (condition.hold !== 'firm' || condition.ok))
  );
}

function judge(reading: Reading, before: GateCondition | undefined, settled: boolean, policy: GatePolicy, now: number): GateCondition {
  const since = before?.ok === reading.ok ? before.since : reading.ok && before === undefined && settled ? -Infinity : now;
  const satisfied = reading.ok && now - since >= policy.quietForMs;
  return { ...reading, since, waived: before?.waived === true && !satisfied };
}

const disturbs = ({ hold, ok, since, waived }: GateCondition, { quietForMs }: GatePolicy, now: number): boolean =>
  hold === 'settles' && !waived && (!ok || now - since < quietForMs);

function reasonOf(conditions: readonly GateCondition[], open: boolean, { quietForMs }: GatePolicy): string {
  if (open) {
    const waived = conditions.filter((condition) => condition.waived && !condition.ok).map(({ message }) => message);
    return waived.length === 0 ? 'every condition is satisfied' : `open although ${waived.join('; ')}`;
  }
  const failing = conditions.filter((condition) => !condition.ok && !condition.waived).map(({ message }) => message);
  return failing.length > 0
    ? `the host's gate: ${failing.join('; ')}`
    : `the host's gate: everything must be quiet for ${formatDurationMs(quietForMs)}`;
}
