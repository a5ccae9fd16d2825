/**
 * What an agent measures of itself, along with its host's metrics, every 10 s. Every field may be absent: an older agent does not know
 * it, or there is nothing to measure (no collector, no look at the engine yet). Counts begin with the agent's process. Times are ages and
 * durations, so that a wrong clock of the host spoils none of them.
 */
import * as z from 'zod';
import { formatBytes, formatDurationMs } from './units.ts';

const amount = z.number().nonnegative().optional();

export const agentMetricsSchema = z.object({
  /** When it was measured, by the agent's clock, in epoch milliseconds. Tells one sample from the next, no more. */
  at: z.number(),
  uptimeMs: amount,
  /** CPU time used, in user and kernel mode. */
  cpuMs: amount,
  residentBytes: amount,
  heapUsedBytes: amount,
  /** The longest time since the last sample in which nothing was done, though something was due. */
  loopLagMs: amount,
  /** Of those, the ones of a quarter of a second and more, in sum. */
  stalledMs: amount,
  /** Since the last look at the engine ended, well or badly. */
  lookAgeMs: amount,
  /** How long the last look took. */
  lookMs: amount,
  /** Calls of the engine that have ended, those of them that failed, and the time they took in sum. */
  engineCalls: amount,
  engineErrors: amount,
  engineCallMs: amount,
  /** The configuration as the file has it now is the one that holds. */
  configOk: z.boolean().optional(),
  /** Since the one that holds was read. */
  configAgeMs: amount,
  /** Connections to the collector that were welcomed, and tries that came to nothing. */
  connects: amount,
  connectFailures: amount,
  /** Events not yet acknowledged, what they take on the disk and may take. */
  events: amount,
  eventBytes: amount,
  eventBytesMax: amount,
  /** Since the oldest of them happened; absent: none waits. */
  oldestEventMs: amount,
  /** Events given up because there was no room for them. */
  eventsDropped: amount,
  /** Of logs: bytes that Relight keeps on the disk until they are acknowledged, and may keep. */
  logBytes: amount,
  logBytesMax: amount,
  /** Bytes of logs that are written and not acknowledged, whoever keeps them. */
  logWaitingBytes: amount,
  /** Since the oldest line of them was written; absent: none waits. */
  oldestLogMs: amount,
  /** Lines and bytes of logs handed to the connection; what must be sent again counts again. */
  sentLines: amount,
  sentBytes: amount,
});
export type AgentMetrics = z.infer<typeof agentMetricsSchema>;

/** How long what waits longest has waited for the collector; 0: nothing waits. */
export function waitingMs({ oldestEventMs = 0, oldestLogMs = 0 }: Pick<AgentMetrics, 'oldestEventMs' | 'oldestLogMs'>): number {
  return Math.max(oldestEventMs, oldestLogMs);
}

/** How what has waited on a host while nothing could be sent is worked off. */
export interface CatchingUp {
  /** Of logs, as they are sent; null: not known yet, it has only just begun. */
  readonly bytesPerSecond: number | null;
  /** Until nothing old waits any more, if it goes on like this; null: not known yet. */
  readonly leftMs: number | null;
}

/** `, catching up: 4.0 MiB of logs a second, about 40.0 s left`, as far as it is known. */
export function catchingUpText({ bytesPerSecond, leftMs }: CatchingUp): string {
  const how = [
    ...(bytesPerSecond === null ? [] : [`${formatBytes(bytesPerSecond)} of logs a second`]),
    ...(leftMs === null ? [] : [`about ${formatDurationMs(leftMs)} left`]),
  ].join(', ');
  return `, catching up${how === '' ? '' : `: ${how}`}`;
}

/** What waits no longer than this is on its way: lines wait for their block. */
export const lagMsUsual = 10_000;

/**
 * What two samples of one connection tell; `before` null: this is the first one, and whatever waits has begun to go. Null: nothing old
 * waits, or it becomes no less.
 */
export function catchingUp(before: AgentMetrics | null, sample: AgentMetrics): CatchingUp | null {
  const waits = waitingMs(sample);
  if (waits <= lagMsUsual) return null;
  if (before === null) return { bytesPerSecond: null, leftMs: null };
  const passedMs = sample.at - before.at;
  const gainedMs = waitingMs(before) - waits;
  if (passedMs <= 0 || gainedMs <= 0) return null;
  const sent = (sample.sentBytes ?? 0) - (before.sentBytes ?? 0);
  return { bytesPerSecond: sent > 0 ? Math.round((1_000 * sent) / passedMs) : null, leftMs: Math.round((waits * passedMs) / gainedMs) };
}

/** Of the agent's room for what it has not delivered; null: it has not said. */
export interface OutboxFill {
  readonly bytes: number;
  readonly bytesMax: number;
  /** Of the fuller one of its two queues, events and logs, 0…1: one that is full gives up lines or events. */
  readonly share: number;
}

export function outboxFill({ eventBytes, eventBytesMax, logBytes, logBytesMax }: AgentMetrics): OutboxFill | null {
  const queues = [
    { bytes: eventBytes ?? 0, bytesMax: eventBytesMax ?? 0 },
    { bytes: logBytes ?? 0, bytesMax: logBytesMax ?? 0 },
  ].filter(({ bytesMax }) => bytesMax > 0);
  if (queues.length === 0) return null;
  const sum = (key: 'bytes' | 'bytesMax'): number => queues.reduce((all, queue) => all + queue[key], 0);
  return { bytes: sum('bytes'), bytesMax: sum('bytesMax'), share: Math.max(...queues.map(({ bytes, bytesMax }) => bytes / bytesMax)) };
}
