/** One failure and its recovery. Pure. */
import type { Level } from '@relight/shared/phase';
import { formatDurationMs } from '@relight/shared/units';
import { sanitize } from './sanitize.ts';
import { elapsed, type ViewContext } from './status-view.ts';
import { table } from './table.ts';

/** As far as the listing shows it. */
export interface Incident {
  readonly id: string;
  readonly host: string;
  readonly workload: string | null;
  readonly generation: number | null;
  readonly openedAt: string;
  readonly closedAt: string | null;
  readonly cause: string;
  readonly level: Level;
  readonly exitCode: number | null;
  readonly oomKilled: boolean;
  readonly timeline: readonly { readonly at: string; readonly message: string }[];
}

const subject = (incident: Incident): string =>
  sanitize(incident.workload === null ? incident.host : `${incident.host}/${incident.workload}`);

const lasted = (incident: Incident): string =>
  incident.closedAt === null ? 'open' : formatDurationMs(Date.parse(incident.closedAt) - Date.parse(incident.openedAt));

export function incidentsText(incidents: readonly Incident[], { color, columns, now }: ViewContext): string {
  if (incidents.length === 0) return 'no incidents\n';
  const lines = table({
    headers: ['ID', 'SUBJECT', 'OPENED', 'LASTED', 'LEVEL', 'CAUSE'],
    paintHeader: color.dim,
    columns,
    rows: incidents.map((incident) => [
      { text: incident.id },
      { text: subject(incident) },
      { text: `${elapsed(incident.openedAt, now)} ago` },
      { text: lasted(incident), ...(incident.closedAt === null ? { paint: color.red } : {}) },
      { text: incident.level },
      { text: sanitize(incident.cause) },
    ]),
  });
  return `${lines.join('\n')}\n`;
}

export function incidentText(incident: Incident, { color }: ViewContext): string {
  const exit = incident.exitCode === null ? '' : `, exit code ${incident.exitCode}${incident.oomKilled ? ', out of memory' : ''}`;
  const lines = [
    color.bold(`${incident.id}  ${subject(incident)}`),
    `${incident.level}: ${sanitize(incident.cause)}${exit}`,
    `opened ${incident.openedAt}, ${incident.closedAt === null ? 'still open' : `closed ${incident.closedAt} after ${lasted(incident)}`}`,
    ...incident.timeline.map(({ at, message }) => `  ${color.dim(at)}  ${sanitize(message)}`),
  ];
  return `${lines.join('\n')}\n`;
}
