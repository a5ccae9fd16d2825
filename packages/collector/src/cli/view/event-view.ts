/** Events and alerts, one line each. Pure. */
import type { ApiAlert, ApiEvent } from '@relight/shared/api';
import { paintSeverity, type Colors } from './paint.ts';
import { sanitize } from './sanitize.ts';
import { elapsed, type ViewContext } from './view-context.ts';
import { table } from './table.ts';
import { clockTime } from './time-text.ts';

/** `14:03:07.123  warning   tpu-0/ray-worker  container.died  exit code 137` */
export function eventLine(event: ApiEvent, context: Pick<ViewContext, 'color' | 'now'>): string {
  const { color } = context;
  const subject = sanitize(event.workload === null ? event.host : `${event.host}/${event.workload}`);
  const severity = paintSeverity(color, event.severity)(event.severity.padEnd(8));
  return `${color.dim(clockTime(event.at, context.now))}  ${severity}  ${color.bold(subject)}  ${event.kind}  ${sanitize(event.message)}`;
}

export function alertsText(alerts: readonly ApiAlert[], { color, columns, now }: ViewContext): string {
  if (alerts.length === 0) return 'no alerts\n';
  const lines = table({
    headers: ['STATE', 'SEVERITY', 'RULE', 'SUBJECT', 'SINCE', 'SUMMARY'],
    paintHeader: color.dim,
    columns,
    rows: alerts.map((alert) => [
      { text: alert.state, paint: paintState(color, alert.state) },
      { text: alert.severity, paint: paintSeverity(color, alert.severity) },
      { text: alert.rule },
      { text: sanitize(alert.workload === null ? alert.host : `${alert.host}/${alert.workload}`) },
      { text: elapsed(alert.endsAt ?? alert.startsAt, now) },
      { text: sanitize(alert.summary), whole: true },
    ]),
  });
  return `${lines.join('\n')}\n`;
}

const paintState = (color: Colors, state: ApiAlert['state']): ((text: string) => string) => (state === 'firing' ? color.red : color.green);
