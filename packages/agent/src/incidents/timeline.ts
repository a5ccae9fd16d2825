/** Pure: what an incident remembers of events, and what a failure is. */
import type { EventKind, NewAgentEvent } from '@relight/shared/event';
import { timelineMax, type TimelineEntry } from '@relight/shared/incident';

/** An event as the book takes it. `observed`: a fact that is no event of its own. */
export type BookEvent = Pick<NewAgentEvent, 'at' | 'severity' | 'message' | 'data'> & {
  readonly kind: EventKind | 'observed';
  readonly workload?: string | undefined;
  readonly generation?: number | undefined;
};

const messageCharactersMax = 500;
const dataCharactersMax = 700;
/** The beginning tells the cause, the end tells where it stands; the middle of a crash loop is always the same. */
const headKept = 50;

export function entryOf({ at, kind, severity, message, generation, data }: BookEvent): TimelineEntry {
  return {
    at,
    kind,
    severity,
    message: message.length > messageCharactersMax ? `${message.slice(0, messageCharactersMax - 1)}…` : message,
    ...(generation === undefined ? {} : { generation }),
    data: smallFacts(data),
  };
}

/** The facts that fit, short ones first come: numbers and words say more about a failure than lists. */
function smallFacts(data: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  let room = dataCharactersMax;
  for (const [key, value] of Object.entries(data)) {
    const size = key.length + (JSON.stringify(value) ?? '').length;
    if (value === undefined || key === 'incident' || size > room) continue;
    room -= size;
    kept[key] = value;
  }
  return kept;
}

/** Adds an entry; over the limit the oldest of the middle goes, counted. */
export function append(
  timeline: readonly TimelineEntry[],
  entry: TimelineEntry,
  omitted: number,
): { readonly timeline: TimelineEntry[]; readonly omitted: number } {
  const longer = [...timeline, entry];
  if (longer.length <= timelineMax) return { timeline: longer, omitted };
  longer.splice(headKept, 1);
  return { timeline: longer, omitted: omitted + 1 };
}

const failureKinds: ReadonlySet<TimelineEntry['kind']> = new Set<EventKind>([
  'container.died',
  'container.removed',
  'process.exited',
  'mount.lost',
  'mount.hung',
  'workload.held',
]);

/** Whether this event by itself says that the workload is not useful any more. */
export function isFailure({ kind, data }: Pick<TimelineEntry, 'kind' | 'data'>): boolean {
  if (kind === 'restart.scheduled') return data['countsAsFailure'] === true || data['level'] === 'host';
  return failureKinds.has(kind);
}

export const textOf = (data: TimelineEntry['data'], key: string): string | null => {
  const value = data[key];
  return typeof value === 'string' && value !== '' ? value : null;
};

export const numberOf = (data: TimelineEntry['data'], key: string): number | null => {
  const value = data[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
};

/** A dependency that was there does not answer any more. */
export const isMissing = ({ kind, data }: TimelineEntry): boolean => kind === 'check.failed' && data['code'] === 'dependency-down';
