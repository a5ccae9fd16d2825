/**
 * Pure: the agent's own events in, incidents out. One incident is everything from the first sign of a failure to the moment
 * at which the workload is ready again: attempts, escalations and holds belong to it, and so does whatever else breaks
 * meanwhile. So there is never more than one open for a workload, nor for the host itself.
 */
import type { Incident, TimelineEntry } from '@relight/shared/incident';
import { timelineMax } from '@relight/shared/incident';
import { blank, judge, revise } from './document.ts';
import { entryOf, isFailure, isMissing, type BookEvent } from './timeline.ts';

/** The host's own entry in maps by workload; no workload has an empty name. */
export const hostKey = '';

export interface Book {
  readonly version: 1;
  readonly open: Readonly<Record<string, Incident>>;
  /** Closed a moment ago: the kernel log may still explain them. */
  readonly settling: readonly Incident[];
  /** What was seen lately and belongs to no incident yet, by workload. */
  readonly recent: Readonly<Record<string, readonly TimelineEntry[]>>;
  readonly paused: readonly string[];
  /** Were ready when last heard of: what they wait for now was there before. */
  readonly ready: readonly string[];
  /** Newest incident by workload. */
  readonly last: Readonly<Record<string, string>>;
  readonly engineLost: boolean;
  /** Workloads that are not ready yet since the machine has booted. */
  readonly rebooting: readonly string[];
}

export const emptyBook: Book = {
  version: 1,
  open: {},
  settling: [],
  recent: {},
  paused: [],
  ready: [],
  last: {},
  engineLost: false,
  rebooting: [],
};

export interface Turn {
  readonly book: Book;
  /** The event belongs to this one. */
  readonly incident: string | null;
  readonly opened: Incident | null;
  readonly closed: readonly Incident[];
  /** Every incident that has a new revision, those above included. */
  readonly changed: readonly Incident[];
}

export interface TakeContext {
  /** The id of an incident, should one be opened. */
  readonly freshId: string;
  /** Names of all workloads, for what concerns the whole host. */
  readonly workloads: readonly string[];
}

const recentMax = 20;
const recentMs = 90_000;
const settleMs = 15_000;

/** Of the workload itself: not worth a line of its timeline. */
const ignored: ReadonlySet<string> = new Set([
  'incident.opened',
  'incident.closed',
  'alert.firing',
  'alert.resolved',
  'alert.undelivered',
  'log.gap',
]);
/** Of the host: they can explain what happens to its workloads. */
const hostKinds: ReadonlySet<string> = new Set([
  'host.booted',
  'host.notice',
  'host.gate-waiting',
  'engine.lost',
  'engine.recovered',
  'agent.started',
  'agent.stopped',
  'observed',
]);

export function take(before: Book, event: BookEvent, context: TakeContext): Turn {
  if (ignored.has(event.kind)) return turn(before, null, []);
  const book = forgetOld(before, event.at);
  return event.workload === undefined ? takeHost(book, event, context) : takeWorkload(book, event, event.workload, context);
}

function takeWorkload(book: Book, event: BookEvent, workload: string, { freshId }: TakeContext): Turn {
  const entry = entryOf(event);
  const open = book.open[workload];
  if (open !== undefined) {
    const next = revise(open, entry);
    if (isBack(entry)) return close(book, workload, next, entry);
    return turn({ ...book, ...pausing(book, event), open: { ...book.open, [workload]: next } }, next.id, [next]);
  }
  const late = explains(entry) ? book.settling.find((incident) => incident.workload === workload) : undefined;
  const paused = book.paused.includes(workload);
  if ((isFailure(entry) || (isMissing(entry) && book.ready.includes(workload))) && !paused) return begin(book, workload, entry, freshId);
  const remembered = { ...book, ...pausing(book, event), ...readiness(book, event), ...remember(book, workload, entry) };
  if (event.kind === 'workload.ready') return backAfterBoot(withoutRecent(remembered, workload), workload, entry.at);
  if (late === undefined) return turn(remembered, null, []);
  const next = revise(late, entry);
  const settling = book.settling.map((incident) => (incident.id === late.id ? next : incident));
  return turn({ ...remembered, settling }, next.id, [next]);
}

function begin(book: Book, workload: string, entry: TimelineEntry, id: string): Turn {
  const host = (book.recent[hostKey] ?? []).filter(({ at }) => at <= entry.at);
  const timeline = [...host, ...(book.recent[workload] ?? []), entry].toSorted((a, b) => a.at - b.at).slice(-timelineMax);
  const incident = judge(blank(id, workload, entry, timeline));
  const ready = book.ready.filter((name) => name !== workload);
  const opened = {
    ...withoutRecent(book, workload),
    ready,
    open: { ...book.open, [workload]: incident },
    last: { ...book.last, [workload]: id },
  };
  return { book: opened, incident: id, opened: incident, closed: [], changed: [incident] };
}

function close(book: Book, workload: string, incident: Incident, ready: TimelineEntry): Turn {
  const { [workload]: _, ...open } = book.open;
  const stages = Array.isArray(ready.data['stages']) ? (ready.data['stages'] as Incident['stages']).slice(0, 60) : [];
  const closed = judge({ ...incident, closedAt: ready.at, stages });
  const settled = {
    ...withoutRecent(book, workload),
    ready: [...book.ready, workload],
    open,
    settling: [...book.settling, closed].slice(-20),
  };
  const host = backAfterBoot(settled, workload, ready.at);
  return { ...host, incident: closed.id, closed: [closed, ...host.closed], changed: [closed, ...host.changed] };
}

/** What concerns the host goes into every open incident, and may be one by itself. */
function takeHost(book: Book, event: BookEvent, { freshId, workloads }: TakeContext): Turn {
  if (!hostKinds.has(event.kind)) return turn(book, null, []);
  const entry = entryOf(event);
  const notable = event.kind !== 'host.notice' || event.severity !== 'info';
  const changed: Incident[] = [];
  const open: Record<string, Incident> = {};
  for (const [key, incident] of Object.entries(book.open)) {
    open[key] = notable ? revise(incident, entry) : incident;
    if (notable) changed.push(open[key]);
  }
  const settling = book.settling.map((incident) => (notable ? explainedBy(incident, entry) : incident));
  changed.push(...settling.filter((incident, index) => incident !== book.settling[index]));
  let after: Book = { ...book, open, settling, ...(notable ? remember(book, hostKey, entry) : {}) };
  if (event.kind === 'engine.lost') after = { ...after, engineLost: true };
  if (event.kind === 'engine.recovered') after = { ...after, engineLost: false };
  if (event.kind === 'host.booted') after = { ...after, rebooting: [...workloads] };
  const begins = event.kind === 'engine.lost' || event.kind === 'host.booted';
  if (begins && after.open[hostKey] === undefined) {
    const incident = judge({ ...blank(freshId, null, entry, [entry]), level: 'host' });
    after = { ...after, open: { ...after.open, [hostKey]: incident }, last: { ...after.last, [hostKey]: freshId } };
    const closing = closeHost(after, entry.at);
    return { ...closing, incident: freshId, opened: incident, changed: newest([...changed, incident, ...closing.changed]) };
  }
  const closing = closeHost(after, entry.at);
  const own = after.open[hostKey]?.id ?? null;
  return { ...closing, incident: own, changed: newest([...changed, ...closing.changed]) };
}

function backAfterBoot(book: Book, workload: string, at: number): Turn {
  if (!book.rebooting.includes(workload)) return turn(book, null, []);
  return closeHost({ ...book, rebooting: book.rebooting.filter((name) => name !== workload) }, at);
}

/** The host's own incident is over when the engine answers and all that the reboot took down is back. */
function closeHost(book: Book, at: number): Turn {
  const { [hostKey]: incident, ...open } = book.open;
  if (incident === undefined || book.engineLost || book.rebooting.length > 0) return turn(book, null, []);
  const closed = judge({ ...incident, revision: incident.revision + 1, closedAt: at });
  return {
    book: { ...book, open, settling: [...book.settling, closed].slice(-20) },
    incident: null,
    opened: null,
    closed: [closed],
    changed: [closed],
  };
}

/** Of workloads that the configuration no longer has: nobody will ever see them ready. */
export function abandon(
  book: Book,
  workloads: readonly string[],
  at: number,
): { readonly book: Book; readonly changed: readonly Incident[] } {
  const gone = Object.entries(book.open).filter(([key]) => key !== hostKey && !workloads.includes(key));
  const entry: TimelineEntry = {
    at,
    kind: 'observed',
    severity: 'info',
    message: 'the workload is no longer in the configuration',
    data: {},
  };
  const changed = gone.map(([, incident]) => ({ ...revise(incident, entry), closedAt: at, timeToRecoverMs: null }));
  const open = Object.fromEntries(Object.entries(book.open).filter(([key]) => !gone.some(([name]) => name === key)));
  const rebooting = book.rebooting.filter((name) => workloads.includes(name));
  const left: Book = { ...book, open, rebooting };
  if (rebooting.length === book.rebooting.length) return { book: left, changed };
  // The host waited for them, too.
  const host = closeHost(left, at);
  return { book: host.book, changed: [...changed, ...host.changed] };
}

/** Ready, or ready again without having been restarted: its checks answer as they did before. */
const isBack = ({ kind, data }: TimelineEntry): boolean =>
  kind === 'workload.ready' || (kind === 'workload.phase-changed' && data['from'] === 'degraded' && data['to'] === 'ready');

const explains = ({ kind }: TimelineEntry): boolean => kind === 'container.oom' || kind === 'observed';

/** A preemption is read from its server a few seconds late: the container may have fallen with it, and even be back already. */
function explainedBy(incident: Incident, entry: TimelineEntry): Incident {
  if (entry.kind !== 'host.notice') return incident;
  const next = revise(incident, entry);
  return next.code === incident.code ? incident : next;
}

function pausing(book: Book, { kind, workload }: BookEvent): Pick<Book, 'paused'> {
  const others = book.paused.filter((name) => name !== workload);
  if (kind === 'workload.paused' && workload !== undefined) return { paused: [...others, workload] };
  return kind === 'workload.resumed' ? { paused: others } : { paused: book.paused };
}

function readiness(book: Book, { kind, workload }: BookEvent): Pick<Book, 'ready'> {
  if (workload === undefined || (kind !== 'workload.ready' && kind !== 'workload.paused')) return { ready: book.ready };
  const others = book.ready.filter((name) => name !== workload);
  return { ready: kind === 'workload.ready' ? [...others, workload] : others };
}

function remember(book: Book, key: string, entry: TimelineEntry): Pick<Book, 'recent'> {
  if (entry.kind.startsWith('agent.')) return { recent: book.recent };
  if (entry.kind === 'workload.phase-changed' && entry.data['to'] !== 'waiting') return { recent: book.recent };
  const kept = [...(book.recent[key] ?? []), entry].slice(-recentMax);
  return { recent: { ...book.recent, [key]: kept } };
}

function withoutRecent(book: Book, workload: string): Book {
  const { [workload]: _, ...recent } = book.recent;
  return { ...book, recent };
}

function forgetOld(book: Book, now: number): Book {
  const recent = Object.fromEntries(
    Object.entries(book.recent).map(([key, entries]) => [key, entries.filter(({ at }) => now - at < recentMs)]),
  );
  return { ...book, recent, settling: book.settling.filter(({ closedAt }) => now - (closedAt ?? now) < settleMs) };
}

/** One revision of each, the last. */
const newest = (incidents: readonly Incident[]): Incident[] => [...new Map(incidents.map((incident) => [incident.id, incident])).values()];

const turn = (book: Book, incident: string | null, changed: readonly Incident[]): Turn => ({
  book,
  incident,
  opened: null,
  closed: [],
  changed,
});
