/**
 * All rules together. Pure: what fires, what was observed and the time go in; changed alerts come out, each saying whether its
 * sinks must be told.
 *
 * An alert is told once per change of state or severity. While something else explains it (a dead host or engine explains its
 * workloads, a dead head those that wait for it, a lost fleet its hosts, a slice that is down its hosts) it fires untold; what was told before is still corrected
 * when it resolves (telling.ts).
 */
import type { Severity } from '@relight/shared/event';
import { severities } from '@relight/shared/event';
import { overAllowanceName } from '../liveness/over-allowance.ts';
import type { AlertRecord, HostRecord } from '../store/store.ts';
import { alertKey, type Condition, type Firing, type RuleName } from './condition.ts';
import type { AlertsConfig } from '../config.ts';
import { dependencyDown, waitsForDependency } from './dependency-down.ts';
import { engineDown } from './engine-down.ts';
import { fleetDisconnected, fleetMembers } from './fleet-disconnected.ts';
import { gather, gatheredOf, isGathered, type Notice } from './gathering.ts';
import { hostCondition } from './host-condition.ts';
import { hostDead } from './host-dead.ts';
import { hostMissing } from './host-missing.ts';
import { hostStopped } from './host-stopped.ts';
import { countRestarts, repeatedRestarts, settleTracks, type RestartFact, type RestartTrack } from './repeated-restarts.ts';
import { explainedBySlices, sliceDown } from './slice-down.ts';
import { settleFalls, takeFalls, type Fall, type Falls } from './slice-falls.ts';
import { nextTelling, shouldTell, tellingOf } from './telling.ts';
import { workloadHeld } from './workload-held.ts';

export interface AlertsState {
  readonly tracks: ReadonlyMap<string, RestartTrack>;
  readonly falls: Falls;
  readonly firing: Firing;
  /** Alerts of groups whose end is still to be told (gathering.ts), by alertKey. */
  readonly ended: Firing;
}

export interface Observed {
  readonly hosts: ReadonlyMap<string, HostRecord>;
  /** In the order of their events. */
  readonly restarts: readonly RestartFact[];
  /** In the order of their revisions. */
  readonly falls: readonly Fall[];
  /** Hosts that have raised more than any honest one. What names come to their heads raises nothing new; what ends is told as ever. */
  readonly spent?: ReadonlySet<string>;
  readonly now: number;
}

export interface AlertChange {
  readonly alert: AlertRecord;
  /** `updated`: neither state nor severity, only what it says. */
  readonly transition: 'firing' | 'severity' | 'resolved' | 'updated';
  /** It is told by itself; where groups are told, that waits for its notice when it is one of a group. */
  readonly notify: boolean;
}

export function evaluate(
  state: AlertsState,
  observed: Observed,
  config: AlertsConfig,
): { readonly state: AlertsState; readonly changes: readonly AlertChange[]; readonly notices: readonly Notice[] } {
  const { hosts, now } = observed;
  const counted = countRestarts(state.tracks, observed.restarts, state.firing, config.repeatedRestarts);
  const tracks = settleTracks(counted, hosts, state.firing, config.repeatedRestarts, now);
  const falls = settleFalls(takeFalls(state.falls, observed.falls), hosts, now);
  // That a host has spent its allowance is told of it: twice in ten minutes at most, whatever it sends.
  const isHeard = (condition: Condition): boolean =>
    observed.spent?.has(condition.host) !== true || state.firing.has(alertKey(condition)) || condition.subject === overAllowanceName;
  const conditions = [
    ...fleetDisconnected(hosts, state.firing, now),
    ...hostDead(hosts.values(), state.firing, config.hostDead.severity),
    ...hostStopped(hosts.values(), config.hostStopped.afterMs, now),
    ...hostMissing(hosts.values(), now),
    ...hostCondition(hosts.values()).filter(isHeard),
    ...engineDown(hosts.values(), state.firing, config.engineDown.afterMs, now),
    ...dependencyDown(hosts.values(), state.firing, config.dependencyDown.afterMs, now),
    ...sliceDown(hosts, { falls, tracks }, state.firing, config.sliceDown.afterMs, now),
    ...workloadHeld(hosts.values(), state.firing, now).filter(isHeard),
    ...repeatedRestarts(tracks.values()),
  ];
  const reconciled = reconcile(conditions, state.firing, { tracks, hosts, now });
  const { firing, ended, changes, notices } = gather({ ...reconciled, ended: state.ended }, config.group, { now, hosts: hosts.size });
  return { state: { tracks, falls, firing, ended }, changes, notices };
}

function reconcile(
  conditions: readonly Condition[],
  before: Firing,
  { tracks, hosts, now }: Pick<Observed, 'hosts' | 'now'> & { readonly tracks: ReadonlyMap<string, RestartTrack> },
): { firing: Map<string, AlertRecord>; changes: AlertChange[] } {
  const present = new Map(conditions.map((condition) => [alertKey(condition), condition]));
  const ofSlices = explainedBySlices(conditions);
  const firing = new Map<string, AlertRecord>();
  const changes: AlertChange[] = [];
  for (const [key, condition] of present) {
    const previous = before.get(key);
    const alert = firingRecord(condition, previous, now);
    const explained = ofSlices.has(key) ? 'caused' : explanation(condition, present, hosts);
    const telling = nextTelling(tellingOf(previous), {
      isCaused: explained === 'caused',
      isWorse: previous?.severity !== alert.severity,
      lastAt: condition.lastAt,
      at: now,
    });
    const isDue = now >= (condition.tellAt ?? 0);
    const tell = isDue && explained === null && shouldTell(alert.severity, telling, condition.lastAt, now);
    const gathered = isGathered(alert) ? { gathered: gatheredOf(previous) } : {};
    const next = { ...alert, data: { ...alert.data, ...telling, ...gathered, ...(tell ? { told: alert.severity } : {}) } };
    firing.set(key, next);
    const transition = previous === undefined ? 'firing' : previous.severity === next.severity ? 'updated' : 'severity';
    if (transition !== 'updated' || tell || !sameAlert(previous, next)) changes.push({ alert: next, transition, notify: tell });
  }
  for (const [key, previous] of before) {
    if (present.has(key)) continue;
    const track = tracks.get(key);
    const data = track === undefined ? previous.data : { ...previous.data, track };
    const alert: AlertRecord = { ...previous, state: 'resolved', endsAt: now, data };
    changes.push({ alert, transition: 'resolved', notify: tellingOf(previous).told !== null });
  }
  return { firing, changes };
}

function firingRecord(condition: Condition, previous: AlertRecord | undefined, now: number): AlertRecord {
  const { rule, host, workload, subject, summary, severity } = condition;
  // By the clock of a host it may be later: Alertmanager refuses what begins after its end, and all that is in one message with it.
  const startsAt = Math.min(previous?.startsAt ?? condition.since, now);
  const place = workload === null ? host : `${host}/${workload}`;
  return {
    id: previous?.id ?? [rule, place, subject ?? '', startsAt].filter((part) => part !== '').join(':'),
    rule,
    severity: worse(severity, previous?.severity),
    host,
    workload,
    state: 'firing',
    startsAt,
    endsAt: null,
    summary,
    labels: {
      alertname: rule,
      ...(host === '' ? {} : { host }),
      ...(workload === null ? {} : { workload }),
      ...(subject === undefined ? {} : { subject }),
    },
    data: condition.data,
  };
}

/** A firing alert only gets worse: it does not page again for getting a little better. */
function worse(severity: Severity, previous: Severity | undefined): Severity {
  return previous !== undefined && severities.indexOf(previous) > severities.indexOf(severity) ? previous : severity;
}

/**
 * One cause, one notification. `hidden`: nobody can say how it fares, it is told when that is over and it is still so. `caused`:
 * that goes away with its cause. An engine or head that is away is a cause from its first moment on.
 */
function explanation(
  { rule, host, workload }: Condition,
  present: ReadonlyMap<string, Condition>,
  hosts: Observed['hosts'],
): 'caused' | 'hidden' | null {
  const ofHost = (cause: RuleName): boolean => present.has(alertKey({ rule: cause, host, workload: null }));
  if (workload !== null) {
    const record = hosts.get(host);
    if (record?.engine?.state === 'down' || waitsForDependency(record, workload)) return 'caused';
    return ofHost('HostDead') ? 'hidden' : null;
  }
  const hidden =
    rule === 'HostDead' ? fleetMembers(present).has(host) : (rule === 'EngineDown' || rule === 'HostCondition') && ofHost('HostDead');
  return hidden ? 'hidden' : null;
}

function sameAlert(a: AlertRecord | undefined, b: AlertRecord): boolean {
  return a !== undefined && a.startsAt === b.startsAt && a.summary === b.summary && JSON.stringify(a.data) === JSON.stringify(b.data);
}
