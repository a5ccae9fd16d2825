/**
 * What one cause may raise on every host of a fleet is told together, where Alertmanager does not do that itself: a token that was revoked,
 * a collector that was upgraded past its agents, an update that runs everywhere. Pure. One group for each rule and subject, with the
 * words and defaults of Alertmanager (`group_wait` 30 s, `group_interval` 5 min, https://prometheus.io/docs/alerting/latest/configuration/#route):
 *
 * - What is new in a group waits for `waitMs`, so that what follows it within that is told with it; what is over by then is not told.
 * - After that the group is told again at most every `intervalMs`, with all that fires in it and what ended since.
 * - What is critical is told at once, and again at most every `waitMs`.
 * - When nothing fires in it any more, that is told at once. In a fleet of one host nobody waits for another.
 *
 * RepeatedRestarts, HostDead and EngineDown are told by themselves: somebody may have to act within seconds, and what they have in common is
 * found by SliceDown, DependencyDown and FleetDisconnected.
 *
 * Its memory is kept with each alert, so a restart of the collector neither loses nor repeats anything.
 */
import type { AlertsConfig } from '../config.ts';
import type { AlertRecord } from '../store/store.ts';
import { alertKey, type Firing, type RuleName } from './condition.ts';
import type { AlertChange } from './evaluate.ts';
import { tellingOf } from './telling.ts';

const gatheredRules: ReadonlySet<string> = new Set<RuleName>(['HostStopped', 'HostMissing', 'WorkloadHeld', 'HostCondition']);

export const isGathered = ({ rule }: Pick<AlertRecord, 'rule'>): boolean => gatheredRules.has(rule);

/** What receivers that are told of whole groups know of one alert. */
interface Gathered {
  /** The severity that they were told; null: nothing yet. */
  readonly told: string | null;
  readonly toldAt: number | null;
  /** Since when there is something that they were not told; null: nothing. */
  readonly since: number | null;
}

/** Who was told of it by an earlier version was told at once. */
export function gatheredOf(alert: AlertRecord | undefined): Gathered {
  const known = alert?.data['gathered'] as Gathered | undefined;
  const { told } = tellingOf(alert);
  return known ?? { told, toldAt: told === null ? null : (alert?.startsAt ?? null), since: null };
}

/** One message about one group. */
export interface Notice {
  /** What its alerts have in common: the group is known by them. */
  readonly labels: Readonly<Record<string, string>>;
  /** What fires first, then what ended since the last message; each the oldest first. Never empty. */
  readonly alerts: readonly AlertRecord[];
}

export interface GatherState {
  readonly firing: Firing;
  /** Alerts whose end is still to be told, by alertKey. */
  readonly ended: Firing;
  readonly changes: readonly AlertChange[];
}

export function gather(
  state: GatherState,
  config: AlertsConfig['group'],
  { now, hosts }: { readonly now: number; readonly hosts: number },
): { readonly firing: Firing; readonly ended: Firing; readonly changes: readonly AlertChange[]; readonly notices: readonly Notice[] } {
  const book = new Book(state);
  for (const change of state.changes) if (isGathered(change.alert)) book.take(change, now);
  const notices: Notice[] = [];
  for (const group of groupsOf([...book.firing.values(), ...book.ended.values()])) {
    if (isDue(group, config, now, hosts)) notices.push(book.tell(group, now));
  }
  return { firing: book.firing, ended: book.ended, changes: [...book.changes.values()], notices };
}

/** The state while it changes. */
class Book {
  readonly firing: Map<string, AlertRecord>;
  readonly ended: Map<string, AlertRecord>;
  /** By the alert's id. */
  readonly changes: Map<string, AlertChange>;

  constructor({ firing, ended, changes }: GatherState) {
    this.firing = new Map(firing);
    this.ended = new Map(ended);
    this.changes = new Map(changes.map((change) => [change.alert.id, change]));
  }

  take({ alert, notify }: AlertChange, now: number): void {
    const key = alertKey(alert);
    const known = gatheredOf(alert);
    if (alert.state === 'resolved') {
      const isTold = known.told !== null;
      const over = this.#put(alert, { ...known, since: isTold ? now : null });
      if (isTold) this.ended.set(key, over);
      return;
    }
    const before = this.ended.get(key);
    // The very one that had ended, for its host says since when: its end did not take place, also when it fires untold now.
    const isSame = before?.id === alert.id;
    if (!notify && !isSame) return;
    // It is there again before anybody was told of its end.
    const { told, toldAt, since } = before === undefined ? known : { ...gatheredOf(before), since: null };
    this.firing.set(key, this.#put(alert, { told, toldAt, since: !notify || told === alert.severity ? null : (since ?? now) }));
    if (before === undefined) return;
    this.ended.delete(key);
    if (!isSame) this.#put(before, { told: null, toldAt, since: null });
  }

  tell(group: readonly AlertRecord[], now: number): Notice {
    const order = (a: AlertRecord, b: AlertRecord): number => a.startsAt - b.startsAt || (a.host < b.host ? -1 : 1);
    const firing = group.filter(({ state }) => state === 'firing').toSorted(order);
    const ended = group.filter(({ state }) => state === 'resolved').toSorted(order);
    // One that stays keeps when the group was told last, also when only others have ended.
    const changed = firing.filter((alert, index) => index === 0 || gatheredOf(alert).since !== null);
    const told = new Map(changed.map((alert) => [alert.id, this.#put(alert, { told: alert.severity, toldAt: now, since: null })]));
    for (const alert of told.values()) this.firing.set(alertKey(alert), alert);
    for (const alert of ended) {
      this.ended.delete(alertKey(alert));
      told.set(alert.id, this.#put(alert, { told: null, toldAt: now, since: null }));
    }
    const alerts = [...firing, ...ended].map((alert) => told.get(alert.id) ?? alert);
    return { labels: groupLabels(group[0] as AlertRecord), alerts };
  }

  #put(alert: AlertRecord, gathered: Gathered): AlertRecord {
    const next = { ...alert, data: { ...alert.data, gathered } };
    const { transition, notify } = this.changes.get(alert.id) ?? { transition: 'updated', notify: false };
    this.changes.set(alert.id, { alert: next, transition, notify });
    return next;
  }
}

/** Of what was told, or is to be told: nobody hears of what something else explains. */
function groupsOf(alerts: readonly AlertRecord[]): Iterable<readonly AlertRecord[]> {
  const groups = new Map<string, AlertRecord[]>();
  for (const alert of alerts) {
    const { told, since } = gatheredOf(alert);
    if (!isGathered(alert) || (told === null && since === null)) continue;
    const key = JSON.stringify(groupLabels(alert));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [alert]);
    else group.push(alert);
  }
  return groups.values();
}

function groupLabels({ labels }: AlertRecord): Readonly<Record<string, string>> {
  const { host: _, ...common } = labels;
  return common;
}

function isDue(group: readonly AlertRecord[], { waitMs, intervalMs }: AlertsConfig['group'], now: number, hosts: number): boolean {
  const waiting = group.filter((alert) => gatheredOf(alert).since !== null);
  if (waiting.length === 0) return false;
  if (hosts <= 1 || group.every(({ state }) => state === 'resolved')) return true;
  // A clock that was set back holds nothing up.
  const past = (at: number | null): number => (at === null || at > now ? -Infinity : at);
  const toldAt = Math.max(...group.map((alert) => past(gatheredOf(alert).toldAt)));
  const since = Math.min(...waiting.map((alert) => past(gatheredOf(alert).since)));
  const isUrgent = waiting.some(({ state, severity }) => state === 'firing' && severity === 'critical');
  return now >= (isUrgent ? toldAt + waitMs : Math.max(since + waitMs, toldAt + intervalMs));
}
