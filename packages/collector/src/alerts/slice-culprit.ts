/**
 * Which host of a slice failed first, and of what. Pure. The others say only that somebody else failed; so it is who failed of
 * something else at about that time: a workload by its incident, a host that fell silent, or one that has had something wrong
 * with it since.
 */
import { departureConditions, type HostCondition } from '@relight/shared/status';
import type { HostRecord } from '../store/store.ts';
import { alertKey, isSilent, type RuleName } from './condition.ts';
import { conditionSubject } from './host-condition.ts';
import { byOurClock, type Fall } from './slice-falls.ts';

/** What a host says that only saw another one fail. */
export const peerCode = 'slice-peer-failed';

export interface Culprit {
  readonly host: string;
  /** Null: the host itself. */
  readonly workload: string | null;
  /** By the collector's clock. */
  readonly at: number;
  /** Since when it is well again; null: it is not. */
  readonly backAt: number | null;
  /** How much it explains: see `ranks`. */
  readonly rank: number;
  /** For a person. */
  readonly cause: string;
  /** Keys of the alerts of its own that say the same. */
  readonly alerts: readonly string[];
}

/** A slice at the moment of a failure. `firstAt`: when the first of those fell that wait, by the collector's clock. */
export interface Scene {
  readonly hosts: readonly HostRecord[];
  readonly falls: readonly Fall[];
  readonly firstAt: number;
}

/** The lower wins, then the earlier. */
export const ranks = {
  /** Failed at that time, of something that can take a slice down. */
  cause: 1,
  /** Ended at that time, and nobody knows why. */
  symptom: 2,
  /** Failed, and was well again before the others fell: of that, or of something that nobody has said yet. */
  mended: 3,
  /** Was away already, or went away later. */
  absent: 4,
  /** Nothing failed there; it was started anew, by somebody's hand perhaps. */
  startedAnew: 5,
} as const;

/** JAX's coordination service misses a host that is silent after 100 s. */
const beforeMs = 150_000;
/** A check that asks now and then, and silence, are noticed later than a closed socket. */
const afterMs = 60_000;
/** What is found wrong with a host after the peers fell came of it, or of nothing. */
const conditionAfterMs = 10_000;

const symptoms: ReadonlySet<string> = new Set(['process-exited', 'container-exited', 'live-failed', 'ready-timeout', 'start-deadline']);

export const explainsFallAt = (at: number, firstAt: number): boolean => at >= firstAt - beforeMs && at <= firstAt + afterMs;

export function culpritOf(scene: Scene): Culprit | null {
  const found = scene.hosts.flatMap((host) => {
    const falls = scene.falls.filter((fall) => fall.host === host.name);
    return [...ofFalls(host, falls, scene.firstAt), ...ofSilence(host, falls, scene.firstAt), ...ofConditions(host, falls, scene.firstAt)];
  });
  return best(found.length > 0 ? found : startedAnew(scene));
}

export function best(culprits: readonly Culprit[]): Culprit | null {
  return culprits.toSorted((a, b) => a.rank - b.rank || a.at - b.at || (a.host < b.host ? -1 : 1))[0] ?? null;
}

const ownAlerts = (host: string, workload: string | null, rules: readonly RuleName[], subject?: string): readonly string[] =>
  rules.map((rule) => alertKey({ rule, host, workload, ...(subject === undefined ? {} : { subject }) }));

function ofFalls(host: HostRecord, falls: readonly Fall[], firstAt: number): Culprit[] {
  return falls.flatMap(({ workload, code, cause, failedAt, closedAt }) => {
    const at = byOurClock(host, failedAt);
    const isFresh = explainsFallAt(at, firstAt);
    const wasOverBefore = closedAt !== null && byOurClock(host, closedAt) < firstAt - beforeMs;
    if (code === peerCode || wasOverBefore || (!isFresh && at > firstAt)) return [];
    const rank = isFresh ? rankOf(code, closedAt !== null && byOurClock(host, closedAt) < firstAt) : ranks.absent;
    const alerts = ownAlerts(host.name, workload, workload === null ? ['EngineDown', 'HostDead'] : ['RepeatedRestarts', 'WorkloadHeld']);
    const backAt = closedAt === null ? null : byOurClock(host, closedAt);
    return { host: host.name, workload, at, backAt, rank, cause: `${cause}${backAt === null ? '' : ' (ready again)'}`, alerts };
  });
}

const rankOf = (code: string, wasMended: boolean): number => (wasMended ? ranks.mended : symptoms.has(code) ? ranks.symptom : ranks.cause);

/** One that is still silent. One that had said before that it only saw another fail is hardly the first. */
function ofSilence(host: HostRecord, falls: readonly Fall[], firstAt: number): Culprit[] {
  if (!isSilent(host) && host.state !== 'rebooting' && host.state !== 'stopped') return [];
  const at = host.lastSeenAt ?? host.stateSince;
  const sawAnother = falls.some(({ code, closedAt }) => code === peerCode && closedAt === null);
  const isAway = host.state !== 'stopped' || (host.conditions ?? []).some(isDeparture);
  const rank = isAway && !sawAnother && explainsFallAt(at, firstAt) ? ranks.cause : ranks.absent;
  const cause = `it is ${host.state}: ${host.reason}`;
  // Heard again, it reports what its workloads have suffered meanwhile.
  const ofWorkloads = host.workloads.flatMap(({ name }) => ownAlerts(host.name, name, ['RepeatedRestarts']));
  const alerts = [...ownAlerts(host.name, null, ['HostDead']), ...ofWorkloads];
  return [{ host: host.name, workload: null, at, backAt: null, rank, cause, alerts }];
}

/** Where a workload failed, of its own or of another host, its agent has judged them already. */
function ofConditions(host: HostRecord, falls: readonly Fall[], firstAt: number): Culprit[] {
  if (falls.some(({ failedAt }) => explainsFallAt(byOurClock(host, failedAt), firstAt))) return [];
  return (host.conditions ?? []).flatMap((condition) => {
    const at = byOurClock(host, condition.since);
    const isGrave = condition.severity === 'error' || condition.severity === 'critical' || isDeparture(condition);
    if (!isGrave || !explainsFallAt(at, firstAt) || at > firstAt + conditionAfterMs) return [];
    const subject = conditionSubject(condition);
    const alerts = ownAlerts(host.name, null, ['HostCondition'], subject);
    return { host: host.name, workload: null, at, backAt: null, rank: ranks.cause, cause: `${subject}: ${condition.reason}`, alerts };
  });
}

const isDeparture = ({ name }: HostCondition): boolean => name in departureConditions;

/** A restart by hand is no failure, but takes the slice down all the same. Of several, none can be named. */
function startedAnew({ hosts, falls, firstAt }: Scene): Culprit[] {
  const found = hosts.flatMap((host) =>
    host.workloads.flatMap(({ name, phase, reason, readyAt, phaseSince }) => {
      const at = byOurClock(host, readyAt ?? phaseSince);
      const fell = falls.some((fall) => fall.host === host.name && fall.workload === name);
      if (fell || host.state !== 'connected' || at < firstAt - beforeMs) return [];
      const cause = readyAt === null ? `it is ${phase}: ${reason}` : 'it was started anew without having failed';
      return { host: host.name, workload: name, at, backAt: readyAt === null ? null : at, rank: ranks.startedAnew, cause, alerts: [] };
    }),
  );
  return found.length === 1 ? found : [];
}
