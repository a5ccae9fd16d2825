/** Where notifications go, and whether they arrive there. Pure. */
import type { ApiSink, ApiSinkTest } from '@relight/shared/api';
import { formatDurationMs } from '@relight/shared/units';
import type { Colors } from './paint.ts';
import { sanitize } from './sanitize.ts';
import { table } from './table.ts';
import { elapsed, type ViewContext } from './view-context.ts';

/** `error  alert sink 1 (http://alerts.example/hook) has taken nothing for 12m: HTTP 503; 3 notifications wait` */
export function failingSinkLines(sinks: readonly ApiSink[], { color, now }: Pick<ViewContext, 'color' | 'now'>): string[] {
  return sinks
    .filter(({ state }) => state === 'failing')
    .map(({ position, name, failingSince, reason, waiting }) => {
      const since = failingSince === null ? '' : ` for ${elapsed(failingSince, now)}`;
      const queue = waiting === 0 ? '' : `; ${waiting} notification${waiting === 1 ? ' waits' : 's wait'}`;
      return `${color.red('error')}  alert sink ${position} (${sanitize(name)}) has taken nothing${since}: ${sanitize(reason ?? '')}${queue}`;
    });
}

export function sinksText(sinks: readonly ApiSink[], { color, columns, now }: ViewContext): string {
  if (sinks.length === 0) return 'no sinks: name one under alerts.sinks in the configuration of the collector, and restart it\n';
  const lines = table({
    headers: ['SINK', 'TYPE', 'STATE', 'SINCE', 'LAST TAKEN', 'WAITING', 'ADDRESS', 'REASON'],
    paintHeader: color.dim,
    columns,
    rows: sinks.map(({ position, name, type, state, failingSince, reason, lastDeliveredAt, waiting, waitingSince }) => [
      { text: String(position) },
      { text: type },
      { text: state, paint: paintState(color, state) },
      { text: failingSince === null ? '-' : elapsed(failingSince, now) },
      { text: lastDeliveredAt === null ? '-' : `${elapsed(lastDeliveredAt, now)} ago` },
      { text: waitingSince === null ? '-' : `${waiting}, for ${elapsed(waitingSince, now)}` },
      { text: sanitize(name) },
      { text: sanitize(reason ?? ''), whole: true },
    ]),
  });
  return `${lines.join('\n')}\n`;
}

export const sinkTestLine = ({ position, name, delivered, reason, tookMs, retryAfterS }: ApiSinkTest, color: Colors): string => {
  const answer = delivered ? color.green('delivered') : `${color.red('not delivered')}: ${sanitize(reason ?? '')}`;
  const took = (retryAfterS ?? null) === null ? `, after ${formatDurationMs(tookMs)}` : '';
  return `sink ${position} (${sanitize(name)}): ${answer}${took}\n`;
};

function paintState(color: Colors, state: ApiSink['state']): (text: string) => string {
  return { ok: color.green, failing: color.red, unknown: color.dim }[state];
}
