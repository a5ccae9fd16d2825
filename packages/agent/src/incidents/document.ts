/** Pure: the document of one incident, out of its timeline. */
import type { Incident, TimelineEntry } from '@relight/shared/incident';
import { causeOf } from './cause.ts';
import { latestVerdict } from './latest.ts';
import { append, isFailure, isMissing, numberOf, textOf } from './timeline.ts';

export function blank(id: string, workload: string | null, entry: TimelineEntry, timeline: readonly TimelineEntry[]): Incident {
  return {
    id,
    revision: 1,
    workload,
    generation: entry.generation ?? null,
    openedAt: entry.at,
    closedAt: null,
    cause: '',
    code: '',
    level: 'container',
    advice: '',
    exitCode: null,
    signal: null,
    oomKilled: false,
    failedAt: entry.at,
    timeToDetectMs: 0,
    timeToRecoverMs: null,
    stages: [],
    timeline: [...timeline],
    omitted: 0,
    evidence: [],
    ...counted({ attempts: { process: 0, container: 0, host: 0 }, escalations: 0, byHand: false }, entry),
  };
}

export function revise(incident: Incident, entry: TimelineEntry): Incident {
  const { timeline, omitted } = append(incident.timeline, entry, incident.omitted);
  return judge({ ...incident, ...counted(incident, entry), revision: incident.revision + 1, timeline, omitted });
}

type Counts = Pick<Incident, 'attempts' | 'escalations' | 'byHand'>;

function counted({ attempts, escalations, byHand }: Counts, { kind, data }: TimelineEntry): Counts {
  const { level } = data;
  const restart = kind === 'restart.scheduled' && (level === 'process' || level === 'container' || level === 'host') ? level : null;
  return {
    attempts: restart === null ? attempts : { ...attempts, [restart]: attempts[restart] + 1 },
    escalations: escalations + (kind === 'restart.escalated' ? 1 : 0),
    byHand: byHand || kind === 'workload.resumed' || (restart !== null && data['code'] === 'operator'),
  };
}

/** Everything that follows from the timeline. */
export function judge(incident: Incident): Incident {
  const { timeline, openedAt, closedAt, workload } = incident;
  const exit = timeline.find(
    ({ kind, data }) => (kind === 'container.died' || kind === 'process.exited') && numberOf(data, 'exitCode') !== null,
  );
  const verdict = causeOf(timeline, openedAt, workload);
  const latest = closedAt === null ? latestVerdict(timeline, openedAt, workload) : null;
  const failedAt = Math.min(openedAt, failureTime(timeline, openedAt));
  return {
    ...incident,
    ...verdict,
    ...(latest === null || latest.code === verdict.code ? {} : { advice: latest.advice }),
    exitCode: exit === undefined ? null : numberOf(exit.data, 'exitCode'),
    signal: exit === undefined ? null : textOf(exit.data, 'signal'),
    oomKilled: verdict.code === 'process-oom' || verdict.code === 'container-oom',
    failedAt,
    timeToDetectMs: openedAt - failedAt,
    timeToRecoverMs: closedAt === null ? null : Math.max(0, closedAt - failedAt),
  };
}

/** The engine knows when a container ended; of a check it is the first answer of the row that was wrong. */
function failureTime(timeline: readonly TimelineEntry[], openedAt: number): number {
  const first = timeline.find(isFailure);
  if (first === undefined) return openedAt;
  const late = numberOf(first.data, 'detectedAfterMs');
  if (late !== null && late >= 0) return first.at - late;
  if (first.kind === 'container.died' || first.kind === 'container.removed') return first.at;
  const before = timeline.slice(0, timeline.indexOf(first));
  const good = before.findLastIndex(({ kind }) => kind === 'check.recovered');
  const sign = before
    .slice(good + 1)
    .find((entry) => (entry.kind === 'check.failed' && !isMissing(entry)) || entry.kind === 'container.oom');
  return sign?.at ?? first.at;
}
