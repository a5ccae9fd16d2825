/**
 * RepeatedRestarts: a workload that fails again and again. Pure.
 *
 * Times. A restart counts at the moment when it happened by the agent's clock, put right by the host's measured skew and never
 * later than its receipt. So what an agent replays after an outage falls into the windows in which it happened, and is folded in
 * as one step: one alert. What is over already when it arrives (quiet for resolveAfterMs) is history, not an alert.
 *
 * Quiet must be known: the silence of a host that cannot be heard, or has only just come back and still has events to
 * deliver, resolves nothing.
 */
import type { HostRecord, StoredEvent } from '../store/store.ts';
import { alertKey, type Condition, type Firing } from './condition.ts';
import type { AlertsConfig } from '../config.ts';

type RepeatedRestartsConfig = AlertsConfig['repeatedRestarts'];

/** The events that this rule reads. */
export const restartEventKinds = ['restart.scheduled', 'restart.budget-exhausted'] as const;

/** A reconnected agent has delivered what it had to say about its absence by then: reconnect and replay take seconds. */
export const settledAfterMs = 30_000;

export interface RestartFact {
  readonly eventId: number;
  readonly host: string;
  readonly workload: string;
  readonly at: number;
  readonly receivedAt: number;
  readonly budgetExhausted: boolean;
  /** In the agent's words; one line. */
  readonly why: string;
}

/** Whoever is woken reads it on a telephone. */
const whyMax = 300;

function oneLine(message: string): string {
  const line = message.replaceAll(/\s+/g, ' ').trim();
  return line.length > whyMax ? `${line.slice(0, whyMax)}…` : line;
}

/** The memory of one workload. Small: `times` holds no more than the greater threshold needs. */
export interface RestartTrack {
  readonly host: string;
  readonly workload: string;
  readonly times: readonly number[];
  readonly severity: 'warning' | 'critical' | null;
  /** When the present severity was first reached; meaningless while it is null. */
  readonly startsAt: number;
  readonly lastAt: number;
  /** Restarts of this episode. */
  readonly restarts: number;
  readonly budgetExhausted: boolean;
  /** Of the last restart; absent from what earlier versions have stored. */
  readonly why?: string;
  /** Events up to this id are counted already. */
  readonly eventId: number;
}

/** Undefined: not a restart that counts (an operator's action, a reboot, a fallen engine, a dependency that is down). */
export function restartFact(event: StoredEvent, clockSkewMs: number): RestartFact | undefined {
  if (event.workload === null) return undefined;
  const budgetExhausted = event.kind === 'restart.budget-exhausted';
  const failure = event.kind === 'restart.scheduled' && event.data['countsAsFailure'] === true && event.data['level'] !== 'host';
  if (!budgetExhausted && !failure) return undefined;
  const at = Math.min(event.at - clockSkewMs, event.receivedAt);
  return {
    eventId: event.id,
    host: event.host,
    workload: event.workload,
    at,
    receivedAt: event.receivedAt,
    budgetExhausted,
    why: oneLine(event.message),
  };
}

const newTrack = (fact: { readonly host: string; readonly workload: string }, eventId: number): RestartTrack => ({
  host: fact.host,
  workload: fact.workload,
  times: [],
  severity: null,
  startsAt: 0,
  lastAt: 0,
  restarts: 0,
  budgetExhausted: false,
  eventId,
});

/** The episode is over; restarts before this moment never count again. */
export const resetTrack = (track: RestartTrack): RestartTrack => newTrack(track, track.eventId);

const horizonMs = (config: RepeatedRestartsConfig): number => Math.max(config.warning.withinMs, config.critical.withinMs);

/**
 * Counts facts in the order of their events. What had been quiet for long enough before a fact arrived, and was never told, is
 * over for it: judged by each fact alone, so that it makes no difference in which portions they came, or whether they are
 * read again after a restart of the collector.
 */
export function countRestarts(
  before: ReadonlyMap<string, RestartTrack>,
  facts: readonly RestartFact[],
  firing: Firing,
  config: RepeatedRestartsConfig,
): Map<string, RestartTrack> {
  const tracks = new Map(before);
  for (const fact of facts) {
    const key = trackKey(fact);
    const known = tracks.get(key) ?? newTrack(fact, 0);
    if (fact.eventId <= known.eventId) continue;
    const over = known.severity !== null && !firing.has(key) && fact.receivedAt - known.lastAt >= config.resolveAfterMs;
    tracks.set(key, addRestart(over ? resetTrack(known) : known, fact, config));
  }
  return tracks;
}

/** A clock that jumped back counts as standing still. */
function addRestart(known: RestartTrack, fact: RestartFact, config: RepeatedRestartsConfig): RestartTrack {
  const at = Math.max(fact.at, known.lastAt);
  const track = known.severity !== null && at - known.lastAt >= config.resolveAfterMs ? resetTrack(known) : known;
  const keep = Math.max(config.warning.count, config.critical.count);
  const times = fact.budgetExhausted ? track.times : [...track.times, at].filter((time) => time > at - horizonMs(config)).slice(-keep);
  const reached = (limit: RepeatedRestartsConfig['warning']): boolean =>
    times.filter((time) => time > at - limit.withinMs).length >= limit.count;
  const critical = track.severity === 'critical' || fact.budgetExhausted || reached(config.critical);
  const severity = critical ? 'critical' : track.severity === 'warning' || reached(config.warning) ? 'warning' : null;
  return {
    ...track,
    times,
    severity,
    startsAt: track.severity === null ? at : track.startsAt,
    lastAt: at,
    restarts: track.restarts + (fact.budgetExhausted ? 0 : 1),
    budgetExhausted: track.budgetExhausted || fact.budgetExhausted,
    // That the budget is gone says nothing of why.
    ...(fact.budgetExhausted || fact.why === '' ? {} : { why: fact.why }),
    eventId: fact.eventId,
  };
}

/** Whether silence of this host means that nothing happened there. */
function isHeard(host: HostRecord, now: number): boolean {
  return host.state === 'stopped' || (host.state === 'connected' && now - host.stateSince >= settledAfterMs);
}

/** Tracks after time has passed: ended episodes reset, what no threshold can need any more dropped. */
export function settleTracks(
  tracks: ReadonlyMap<string, RestartTrack>,
  hosts: ReadonlyMap<string, HostRecord>,
  firing: Firing,
  config: RepeatedRestartsConfig,
  now: number,
): Map<string, RestartTrack> {
  const settled = new Map<string, RestartTrack>();
  for (const [key, track] of tracks) {
    const host = hosts.get(track.host);
    if (host === undefined) continue;
    const quiet = now - track.lastAt >= config.resolveAfterMs;
    const over = track.severity !== null && quiet && (!firing.has(key) || isHeard(host, now));
    const next = over ? resetTrack(track) : track;
    const needed = next.severity !== null || over || now - next.lastAt < horizonMs(config);
    if (needed) settled.set(key, next);
  }
  return settled;
}

export const trackKey = (of: { readonly host: string; readonly workload: string }): string =>
  alertKey({ rule: 'RepeatedRestarts', host: of.host, workload: of.workload });

export function repeatedRestarts(tracks: Iterable<RestartTrack>): Condition[] {
  const conditions: Condition[] = [];
  for (const track of tracks) {
    if (track.severity === null) continue;
    const { host, workload, severity } = track;
    const times = track.restarts === 1 ? 'once' : `${track.restarts} times`;
    const budget = track.budgetExhausted ? '; its restart budget is exhausted, slow retries go on' : '';
    const why = track.why === undefined ? '' : `; last: ${track.why}`;
    const summary = `${host}/${workload} restarted ${times} after failures${budget}${why}`;
    conditions.push({
      rule: 'RepeatedRestarts',
      severity,
      host,
      workload,
      since: track.startsAt,
      lastAt: track.lastAt,
      summary,
      data: { track },
    });
  }
  return conditions;
}
