/** Pure: what a source reports now against what was known of it; what was raised and what was cleared. */
import { severities } from '@relight/shared/event';
import { hostConditionsMax, type HostCondition } from '@relight/shared/status';

export interface ReportedCondition extends Omit<HostCondition, 'since'> {
  /** Facts of the moment for programs: they go into the event and do not last. */
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface ConditionChange {
  readonly state: 'raised' | 'cleared';
  readonly condition: HostCondition;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The limits of hostConditionSchema: a longer text would make the collector refuse the whole heartbeat. */
const limits = { name: 64, subject: 512, reason: 2048, advice: 2048 };

/**
 * `since` stays while a condition lasts. A condition that gets worse is raised again; one that gets better, or says the same in
 * other words, only changes. Of two with one name and subject the worse counts.
 */
export function diffConditions(
  before: readonly HostCondition[],
  reported: readonly ReportedCondition[],
  now: number,
): { readonly after: readonly HostCondition[]; readonly changes: readonly ConditionChange[] } {
  const known = new Map(before.map((condition) => [keyOf(condition), condition]));
  const present = new Map<string, HostCondition>();
  const data = new Map<string, ConditionChange['data']>();
  for (const report of reported) {
    const fitted = fit(report);
    const key = keyOf(fitted);
    const other = present.get(key);
    if (other !== undefined && rank(other) >= rank(fitted)) continue;
    present.set(key, { ...fitted, since: known.get(key)?.since ?? now });
    data.set(key, report.data ?? {});
  }
  const changes: ConditionChange[] = [];
  for (const [key, condition] of known) if (!present.has(key)) changes.push({ state: 'cleared', condition, data: {} });
  for (const [key, condition] of present) {
    const previous = known.get(key);
    if (previous === undefined || rank(condition) > rank(previous)) changes.push({ state: 'raised', condition, data: data.get(key) ?? {} });
  }
  return { after: [...present.values()], changes };
}

/** The worst first, then by name; as many as one heartbeat may carry. */
export function inOrder(conditions: Iterable<HostCondition>): HostCondition[] {
  return [...conditions]
    .toSorted((a, b) => rank(b) - rank(a) || compare(a.name, b.name) || compare(a.subject, b.subject))
    .slice(0, hostConditionsMax);
}

const keyOf = ({ name, subject }: ReportedCondition): string => JSON.stringify([name, subject]);
const rank = ({ severity }: ReportedCondition): number => severities.indexOf(severity);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function fit({ name, subject, severity, reason, advice }: ReportedCondition): Omit<HostCondition, 'since'> {
  const cut = (text: string, max: number): string => (text.length <= max ? text : `${text.slice(0, max - 1)}…`);
  return {
    name: cut(name, limits.name),
    subject: cut(subject, limits.subject),
    severity,
    reason: cut(reason, limits.reason),
    advice: cut(advice, limits.advice),
  };
}
