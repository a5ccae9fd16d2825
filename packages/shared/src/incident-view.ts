/**
 * One incident for a reader who knows nothing else: the cause first, then what was done and what is left to do, the way it
 * went, and the lines that tell most. Pure; the same on the operator's terminal and on the host.
 */
import type { ApiEvidence, ApiIncident, ApiIncidentEntry } from './api.ts';
import { formatBytes, formatDurationMs } from './units.ts';

type Paint = (text: string) => string;

export interface IncidentViewContext {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly bad: Paint;
  readonly good: Paint;
  /** Makes other people's text harmless on a terminal: one line in, one line out. */
  readonly clean: Paint;
  /** Wall time, epoch milliseconds. */
  readonly now: number;
  /** Evidence in full instead of its most telling lines. */
  readonly full: boolean;
}

const tellingLogLines = 6;
const tellingKernelLines = 8;
const lineCharactersMax = 300;

export function incidentLines(incident: ApiIncident, context: IncidentViewContext): string[] {
  return [
    ...header(incident, context),
    '',
    context.bold('TIMELINE') + context.dim(' (seconds from the failure)'),
    ...timeline(incident, context),
    '',
    context.bold('EVIDENCE') + context.dim(` (in full: --full, one piece: --evidence NAME)`),
    ...(incident.evidence.length === 0
      ? ['  none was gathered']
      : inOrder(incident.evidence).flatMap((piece) => evidenceLines(piece, Date.parse(incident.failedAt), context))),
  ];
}

/**
 * How long it was until it was ready again; null: it is not. Nobody saw the end where an agent lost its memory in the middle (killed on a
 * full disk): it lasted until its last entry at least.
 */
export function lastedText({ closedAt, failedAt, timeToRecoverMs, timeline: entries }: ApiIncident): string | null {
  if (closedAt === null) return null;
  if (timeToRecoverMs !== null) return formatDurationMs(timeToRecoverMs);
  const failed = Date.parse(failedAt);
  return `>= ${formatDurationMs(Math.max(failed, ...entries.map(({ at }) => Date.parse(at))) - failed)}`;
}

/** The text of one piece, line by line; undefined: there is no piece of this name. */
export function evidenceText(incident: ApiIncident, name: string, clean: Paint): string[] | undefined {
  const piece = incident.evidence.find((candidate) => candidate.name === name);
  if (piece === undefined) return undefined;
  const text = piece.text ?? '';
  return text === '' ? [piece.error ?? 'there is nothing in it'] : text.replace(/\n$/, '').split('\n').map(clean);
}

function header(incident: ApiIncident, { bold, bad, good, clean, now }: IncidentViewContext): string[] {
  const { id, host, workload, cause, code, level, exitCode, signal, closedAt, timeToDetectMs, timeToRecoverMs } = incident;
  const subject = clean(workload === null ? host : `${host}/${workload}`);
  const openMs = Math.max(0, now - Date.parse(incident.failedAt));
  const lasted = lastedText(incident);
  const state = lasted === null ? bad(`OPEN for ${formatDurationMs(openMs)}`) : good(`over after ${lasted}`);
  const exit = exitCode === null ? [] : [`exit code ${exitCode}${signal === null ? '' : ` (${clean(signal)})`}`];
  const times = [
    `failed ${incident.failedAt}`,
    `noticed after ${formatDurationMs(timeToDetectMs)}`,
    lasted === null ? 'not ready yet' : timeToRecoverMs === null ? 'nobody saw its end' : `ready again after ${lasted}`,
  ];
  const stages = incident.stages.map(({ stage, ms }) => `${clean(stage)} ${formatDurationMs(ms)}`).join(', ');
  return [
    `${bold(subject)}  incident ${id}  ${state}`,
    '',
    `${bold('CAUSE')}    ${bold(clean(cause))}`,
    `level    ${[level, clean(code), ...exit].filter((part) => part !== '').join(', ')}`,
    `times    ${times.join(', ')}`,
    `Relight  ${doings(incident)}`,
    ...(closedAt === null ? [`now      ${clean(stateOf(incident))}`] : []),
    ...(stages === '' ? [] : [`stages   ${stages}`]),
    `you      ${clean(latestAdvice(incident) || 'nothing to do')}`,
  ];
}

const latest = ({ timeline: entries }: ApiIncident): ApiIncidentEntry | undefined =>
  entries.findLast(({ kind }) => kind.startsWith('workload.') || kind.startsWith('restart.'));

/** What it does or waits for; the cause is not told twice. */
function stateOf(incident: ApiIncident): string {
  const { kind, message, data } = latest(incident) ?? {};
  if (message === undefined) return 'waiting';
  const to = data?.['to'];
  return kind === 'workload.phase-changed' && typeof to === 'string' && message.includes(incident.cause)
    ? `${to}, because of that`
    : message;
}

/** What began as one thing may wait for another now: a registry that could not be reached, and then an image that is not in it. '': none. */
function latestAdvice(incident: ApiIncident): string {
  const last = latest(incident);
  const isHeld = incident.closedAt === null && (last?.kind === 'workload.held' || last?.data['to'] === 'held');
  const held = isHeld ? incident.timeline.findLast(({ kind }) => kind === 'workload.held')?.data['advice'] : undefined;
  return typeof held === 'string' && held !== '' ? held : incident.advice;
}

/** For a list, in which there is room for the first cause alone: of how many it is one, before it, where a long one is cut. */
export function causeText(incident: ApiIncident): string {
  const codes = incident.timeline.flatMap(({ kind, data }) => {
    const { code } = data;
    return (kind === 'restart.scheduled' || kind === 'workload.held') && typeof code === 'string' ? [code] : [];
  });
  const causes = new Set(codes).size;
  return causes > 1 ? `first of ${causes}: ${incident.cause}` : incident.cause;
}

/** For a list, below one that is open: what is left to do, as it is now. Null: nothing, or it is over. */
export function adviceLine(incident: ApiIncident): string | null {
  const advice = incident.closedAt === null ? latestAdvice(incident) : '';
  return advice === '' ? null : `  → ${advice}`;
}

function doings({ attempts, escalations, byHand, closedAt, workload }: ApiIncident): string {
  const restarts = (['process', 'container', 'host'] as const)
    .filter((level) => attempts[level] > 0)
    .map((level) => `${attempts[level]} × ${level} restart`);
  const done = [
    ...restarts,
    ...(escalations > 0 ? [`${escalations} × escalated to a new container`] : []),
    ...(byHand ? ['a person helped'] : []),
  ];
  if (done.length > 0) return done.join(', ');
  if (workload === null) return 'waited';
  return closedAt === null ? 'nothing yet' : 'no restart was needed';
}

function timeline({ timeline: entries, omitted, failedAt }: ApiIncident, { dim, bad, clean }: IncidentViewContext): string[] {
  const shown = shownEntries(entries);
  const zero = Date.parse(failedAt);
  const kinds = Math.max(...shown.map(({ kind }) => kind.length), 0);
  const lines = shown.map((entry) => {
    const seconds = ((Date.parse(entry.at) - zero) / 1_000).toFixed(3);
    const when = `${Number(seconds) < 0 ? '' : '+'}${seconds}`.padStart(10);
    const paint = entry.severity === 'error' || entry.severity === 'critical' ? bad : String;
    return `  ${dim(when)}  ${clean(entry.kind).padEnd(kinds)}  ${paint(cut(clean(entry.message)))}`;
  });
  if (omitted > 0) lines.splice(Math.min(headShown, lines.length), 0, dim(`              … ${omitted} more of the same kind …`));
  return lines;
}

/** As in the agent's book: so many from the beginning are kept. */
const headShown = 50;

/** A change of phase is shown where it says something that nobody has said yet: what is waited for. */
function shownEntries(entries: readonly ApiIncidentEntry[]): readonly ApiIncidentEntry[] {
  let said = '';
  return entries.filter(({ kind, data, message }) => {
    const reason = message.replace(/^[a-z-]+: /, '');
    const shown = kind !== 'workload.phase-changed' || (data['to'] === 'waiting' && !said.includes(reason));
    if (shown) said = message;
    return shown;
  });
}

/** What tells most comes first. */
const order = ['note', 'log:process', 'log:', 'kernel', 'disks', 'processes', 'inspect'];
function inOrder(evidence: readonly ApiEvidence[]): readonly ApiEvidence[] {
  const rank = ({ name, error }: ApiEvidence): number => {
    const place = order.findIndex((start) => name.startsWith(start));
    return (error === null ? 0 : 100) + (place < 0 ? order.length : place);
  };
  return evidence.toSorted((a, b) => rank(a) - rank(b));
}

function evidenceLines(piece: ApiEvidence, failedAt: number, { bold, dim, clean, full }: IncidentViewContext): string[] {
  const size =
    piece.bytes === 0
      ? piece.error === null
        ? ', empty'
        : ''
      : `, ${formatBytes(piece.bytes)}${piece.truncatedBytes === null ? '' : ` of ${formatBytes(piece.bytes + piece.truncatedBytes)}`}`;
  const head = `  ${bold(clean(piece.name))}  ${clean(piece.title)}${size}`;
  if (piece.error !== null) return [`${head}: ${dim(cut(clean(piece.error)))}`];
  if (piece.text === undefined || piece.text === null) return [`${head}${piece.bytes > 0 ? dim(' (still on the host)') : ''}`];
  const lines = piece.text.replace(/\n+$/, '').split('\n');
  return [head, ...(full ? lines : telling(piece.name, lines, failedAt)).map((line) => `      ${cut(clean(line), full)}`)];
}

/** Set before a line of the kernel's log that is about another container of the host. */
export const foreignKernelLine = '(another container) ';

const kernelNews =
  /invoked oom-killer|oom-kill:|out of memory|killed process|xid|remount|read-only|i\/o error|segfault|hung task|blocked for more|mce:|hardware error/i;

/** Of a log its end; of the kernel's what is rarely harmless and was said around the failure; the rest is for `--evidence`. */
function telling(name: string, lines: readonly string[], failedAt: number): readonly string[] {
  if (name.startsWith('log:')) return lines.filter((line) => line.trim() !== '').slice(-tellingLogLines);
  if (name === 'kernel') return lines.filter((line) => tellsOfUs(line) && isNear(line, failedAt)).slice(-tellingKernelLines);
  return name === 'note' || name === 'disks' ? lines.slice(0, tellingLogLines) : [];
}

const tellsOfUs = (line: string): boolean => kernelNews.test(line) && !line.includes(`  ${foreignKernelLine}`);

/** Lines of the kernel log begin with their time. */
function isNear(line: string, failedAt: number): boolean {
  const at = Date.parse(line.slice(0, 24));
  return at > failedAt - 60_000 && at < failedAt + 10_000;
}

const cut = (text: string, full = false): string =>
  full || text.length <= lineCharactersMax ? text : `${text.slice(0, lineCharactersMax - 1)}…`;
