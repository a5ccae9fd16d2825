/** How what happens on this host gets to the collector, for people: what waits, what is missing, and by which clock it is dated. Pure. */
import { catchingUpText, outboxFill, waitingMs } from '@relight/shared/agent-metrics';
import { skewAdvice, skewDirection, skewMsMax, skewMsMin } from '@relight/shared/clock-skew';
import { formatBytes, formatDurationMs } from '@relight/shared/units';
import type { AgentStatus } from './status.ts';

/** A gap that is older is history, and needs nobody now. */
const adviceForMs = 3_600_000;
const roomAdvice = 'Let this host reach its collector, or give the disk of the state directory room: the oldest lines go first.';
const gapAdvice: Readonly<Record<string, string>> = {
  'rate-limit': 'More is written than logs.rate_limit lets through: raise it, or have the program say less.',
  'outbox-full': roomAdvice,
  rotated: "The engine's log turned over before it was read: raise max-size or max-file of the container's log.",
};

/** Nothing of an agent that works alone, and nothing that is not known. A row without a name goes on with the one before. */
export function deliveryRows(
  { agent, catchingUp, gaps, collector }: Pick<AgentStatus, 'agent' | 'catchingUp' | 'gaps' | 'collector'>,
  now: number,
): string[][] {
  return [...outboxRows(agent, catchingUp), ...gapRows(gaps, now), ...clockRows(collector?.clock ?? null)];
}

function outboxRows(agent: AgentStatus['agent'], catchingUp: AgentStatus['catchingUp']): string[][] {
  const fill = agent === null ? null : outboxFill(agent);
  if (agent === null || fill === null) return [];
  const how = catchingUp === null ? '' : catchingUpText(catchingUp);
  const waits = waitingMs(agent) === 0 ? 'nothing waits' : `the oldest waits for ${formatDurationMs(waitingMs(agent))}${how}`;
  const dropped = agent.eventsDropped ?? 0;
  const room = `${formatBytes(fill.bytes)} of ${formatBytes(fill.bytesMax)} (${Math.round(fill.share * 100)} %)`;
  return [['outbox', `${room}; ${waits}${dropped === 0 ? '' : `; ${dropped} events were given up for want of room`}`]];
}

function gapRows(gaps: AgentStatus['gaps'], now: number): string[][] {
  if (gaps === null) return [];
  const { count, untoldBytes, last } = gaps;
  const untold = untoldBytes === 0 ? '' : `; ${formatBytes(untoldBytes)} given up for want of room are still to be told`;
  const text = count === 0 ? 'none in the logs since the agent began' : toldText(gaps, now);
  const reason = last !== null && now - last.at <= adviceForMs ? last.reason : '';
  const advice = untoldBytes > 0 ? roomAdvice : gapAdvice[reason];
  return [['gaps', `${text}${untold}`], ...(advice === undefined ? [] : [['', advice]])];
}

function toldText({ count, lines, bytes, last }: NonNullable<AgentStatus['gaps']>, now: number): string {
  const size = [...(lines === 0 ? [] : [`${lines} lines`]), ...(bytes === 0 ? [] : [formatBytes(bytes)])];
  const missing = size.length === 0 ? 'of unknown size' : `${size.join(', ')} as far as known`;
  if (last === null) return `${count} since the agent began, ${missing}`;
  const { segment, reason, at } = last;
  const when = formatDurationMs(Math.max(0, now - at));
  return `${count} since the agent began, ${missing}; the last ${when} ago in ${segment.workload} ${segment.source}: ${reason}`;
}

function clockRows(clock: NonNullable<AgentStatus['collector']>['clock']): string[][] {
  if (clock === null) return [];
  const { skewMs, ageMs } = clock;
  const off = Math.abs(skewMs);
  const text = off < skewMsMin ? "as the collector's" : `${formatDurationMs(off)} ${skewDirection(skewMs)}`;
  return [['clock', `${text}, told ${formatDurationMs(ageMs)} ago`], ...(off > skewMsMax ? [['', skewAdvice]] : [])];
}
