/** Failures and their recovery. Pure. */
import type { ApiIncident } from '@relight/shared/api';
import { adviceLine, causeText, incidentLines, lastedText } from '@relight/shared/incident-view';
import { wrap } from '@relight/shared/text-columns';
import { sanitize } from './sanitize.ts';
import { elapsed, type ViewContext } from './view-context.ts';
import { tableRows } from './table.ts';

const subject = (incident: ApiIncident): string =>
  sanitize(incident.workload === null ? incident.host : `${incident.host}/${incident.workload}`);

export function incidentsText(incidents: readonly ApiIncident[], { color, columns, now }: ViewContext): string {
  if (incidents.length === 0) return 'no incidents\n';
  const [header = [], ...rows] = tableRows({
    headers: ['ID', 'SUBJECT', 'OPENED', 'LASTED', 'LEVEL', 'CAUSE'],
    paintHeader: color.dim,
    columns,
    rows: incidents.map((incident) => [
      { text: sanitize(incident.id) },
      { text: subject(incident) },
      { text: `${elapsed(incident.openedAt, now)} ago` },
      { text: lastedText(incident) ?? 'open', ...(incident.closedAt === null ? { paint: color.red } : {}) },
      { text: incident.level },
      { text: sanitize(causeText(incident)), whole: true },
    ]),
  });
  const advised = incidents.flatMap((incident, index) => {
    const advice = adviceLine(incident);
    const shown = advice === null ? [] : wrap(sanitize(advice), columns ?? Infinity).map(color.dim);
    return [...(rows[index] ?? []), ...shown];
  });
  return `${[...header, ...advised].join('\n')}\n`;
}

export function incidentText(incident: ApiIncident, { color, now }: Pick<ViewContext, 'color' | 'now'>, full: boolean): string {
  const { bold, dim, red, green } = color;
  return `${incidentLines(incident, { bold, dim, bad: red, good: green, clean: sanitize, now, full }).join('\n')}\n`;
}
