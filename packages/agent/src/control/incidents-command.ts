/** `relight-agent incidents`: what has failed on this host, out of the state directory: with no collector, and with no agent. */
import { hostname } from 'node:os';
import type { ApiIncident } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { incidentResource } from '@relight/shared/incident-resource';
import { adviceLine, causeText, evidenceText, incidentLines, lastedText } from '@relight/shared/incident-view';
import { formatDurationMs } from '@relight/shared/units';
import { IncidentStore } from '../incidents/store.ts';
import { type ExitCode, type Io, mustBeReadable, stateDirOrDefault } from './io.ts';

export interface IncidentsOptions {
  readonly stateDir?: string;
  readonly json?: boolean;
  readonly full?: boolean;
  readonly evidence?: string;
}

const shownMax = 50;
const plain = (text: string): string => text;
/** Nothing that a program has printed may drive the terminal. */
const printable = (text: string): string => text.replaceAll(/[\p{Cc}\u202A-\u202E\u2066-\u2069]+/gu, ' ').trimEnd();

export async function incidentsCommand(id: string | undefined, options: IncidentsOptions, io: Io): Promise<ExitCode> {
  const stateDir = stateDirOrDefault(options.stateDir, io.env);
  mustBeReadable(stateDir);
  const store = new IncidentStore({ stateDir, host: '', warn: plain });
  const host = store.readHost() ?? hostname();
  if (id === undefined) listAll(store, host, options, io);
  else showOne(store, host, theOne(store, id), options, io);
  return 0;
}

function listAll(store: IncidentStore, host: string, { json }: IncidentsOptions, io: Io): void {
  const items = store
    .ids()
    .slice(0, shownMax)
    .flatMap((id) => {
      const incident = store.load(id);
      return incident === null ? [] : [incidentResource(host, incident)];
    });
  if (json === true) io.write(`${JSON.stringify({ items, next: null }, null, 2)}\n`);
  else io.write(items.length === 0 ? 'no incidents\n' : items.flatMap((item) => linesOf(item, io.clock.now())).join(''));
}

/** `20260131-120000-x7k2m9  ray-worker  open      3 m 10 s ago  the mount data died`, and what is left to do. */
function linesOf(incident: ApiIncident, now: number): readonly string[] {
  const { id, workload, openedAt } = incident;
  const over = lastedText(incident);
  const lasted = over === null ? 'open' : `over after ${over}`;
  const ago = `${formatDurationMs(Math.max(0, now - Date.parse(openedAt)))} ago`;
  const line = [id, workload ?? 'the host', lasted.padEnd(20), ago, printable(causeText(incident))].join('  ');
  const advice = adviceLine(incident);
  return [line, ...(advice === null ? [] : [printable(advice)])].map((text) => `${text}\n`);
}

function showOne(store: IncidentStore, host: string, id: string, { json, full, evidence }: IncidentsOptions, io: Io): void {
  const incident = store.load(id);
  if (incident === null) throw new RelightError('not-found', `incident ${id} cannot be read`, { advice: listThem });
  const texts = new Map(incident.evidence.flatMap(({ name }) => textOf(store, id, name)));
  const resource = incidentResource(host, incident, texts);
  if (evidence !== undefined) {
    const lines = evidenceText(resource, evidence, printable);
    const names = incident.evidence.map(({ name }) => name).join(', ');
    if (lines === undefined)
      throw new RelightError('not-found', `incident ${id} has no evidence "${evidence}"; it has: ${names || 'none'}`, {
        advice: 'Name one of these, or see all of it: --full.',
      });
    io.write(`${lines.join('\n')}\n`);
    return;
  }
  const view = { bold: plain, dim: plain, bad: plain, good: plain, clean: printable, now: io.clock.now(), full: full === true };
  io.write(json === true ? `${JSON.stringify(resource, null, 2)}\n` : `${incidentLines(resource, view).join('\n')}\n`);
}

function textOf(store: IncidentStore, id: string, name: string): [string, string][] {
  const text = store.evidenceText(id, name);
  return text === null ? [] : [[name, text]];
}

const listThem = 'List them: relight-agent incidents. Those of another state directory: --state-dir DIR.';

function theOne(store: IncidentStore, given: string): string {
  const found = store.ids().filter((id) => id.startsWith(given));
  const [only, another] = found.includes(given) ? [given] : found;
  if (only === undefined) throw new RelightError('not-found', `there is no incident ${given} on this host`, { advice: listThem });
  if (another !== undefined)
    throw new RelightError('conflict', `more than one incident begins with ${given}: ${found.slice(0, 6).join(', ')}`, {
      advice: 'Give more of it.',
    });
  return only;
}
