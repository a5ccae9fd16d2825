/**
 * Pure: why an incident that is still open goes on. What began as one thing may wait for another now (a check that failed, and then an
 * image that nobody has): the cause stays the first, but what a person must do is about the last.
 */
import type { TimelineEntry } from '@relight/shared/incident';
import { causeOf, type Verdict } from './cause.ts';
import { isFailure, textOf } from './timeline.ts';

/** So close together, what was seen and what was decided about it are one failure, and what follows from the first belongs to it. */
const oneFailureMs = 6_000;

/** Null: it is the failure that the incident began with, or what followed from it at once. `openedAt`: as causeOf has it. */
export function latestVerdict(timeline: readonly TimelineEntry[], openedAt: number, workload: string | null): Verdict | null {
  const last = timeline.findLastIndex(isFailure);
  const entry = timeline[last];
  if (entry === undefined) return null;
  const begins = beginOf(timeline, last);
  if (begins.at > openedAt + oneFailureMs) {
    return causeOf(
      timeline.filter(({ at }) => at >= begins.at - oneFailureMs && at > openedAt + oneFailureMs),
      begins.at,
      workload,
    );
  }
  // Held at once: no attempt mends what this says, whatever ended first.
  return entry.kind === 'workload.held' && textOf(entry.data, 'advice') !== null ? causeOf([entry], entry.at, workload) : null;
}

/** What was seen first of the failure that ends with this decision. */
function beginOf(timeline: readonly TimelineEntry[], last: number): TimelineEntry {
  let begin = timeline[last] as TimelineEntry;
  for (const entry of timeline.slice(0, last).toReversed()) {
    if (!isFailure(entry)) continue;
    if (entry.kind === 'restart.scheduled' || entry.kind === 'workload.held' || begin.at - entry.at > oneFailureMs) break;
    begin = entry;
  }
  return begin;
}
