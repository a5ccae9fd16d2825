/**
 * The incidents of this host: every event the agent emits passes through here on its way out. What it means is book.ts's
 * word; this file writes it down, has the evidence gathered beside the recovery, and keeps what the collector does not have.
 *
 * The book is written after the event is in the outbox, with the position that it has come to. What stands behind that position
 * in the outbox when the next life begins is folded into it once more: a kill -9 between the two loses nothing and counts nothing twice.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import type { NewAgentEvent } from '@relight/shared/event';
import type { Incident } from '@relight/shared/incident';
import type { IncidentAck } from '@relight/shared/protocol';
import { formatDurationMs } from '@relight/shared/units';
import { abandon, hostKey, take, type Book, type Turn } from './book.ts';
import { Delivery, type IncidentLane, type IncidentMessage } from './delivery.ts';
import type { OutboxHistory } from '../outbox/telling.ts';
import type { IncidentStore } from './store.ts';
import type { BookEvent } from './timeline.ts';

export interface IncidentsOptions {
  readonly clock: Clock;
  readonly store: IncidentStore;
  /** Those that are configured now. */
  readonly workloads: () => readonly string[];
  /** In [0, 1). */
  readonly random: () => number;
  /** False: there is no collector, and what is closed need not be kept for one. */
  readonly delivering: boolean;
  /** Of the outbox that the events go into. */
  readonly history: OutboxHistory;
  /** Looks for evidence, without anybody waiting for it. `why` is what has just happened. */
  readonly gather: (incident: Incident, why: BookEvent) => void;
}

type Emitted = NewAgentEvent & { readonly at: number };

/** Revisions that are no news to anybody are written and sent together. */
const gatherMs = 250;
/** As long as the book lets late facts in, and evidence may be under way. */
const settledMs = 20_000;

export class Incidents implements IncidentLane {
  readonly #options: IncidentsOptions;
  readonly #delivery: Delivery;
  readonly #listeners = new Set<() => void>();
  readonly #dirty = new Map<string, Incident>();
  /** Closed, but something may still be learnt about them. */
  readonly #settling = new Map<string, Timer>();
  #book: Book;
  #flush: Timer | null = null;
  /** What was opened or closed is written as soon as the events of it are in the outbox. */
  #urgent = false;
  /** Evidence goes to a document that is there. */
  readonly #toGather: (readonly [incident: Incident, why: BookEvent])[] = [];
  readonly #unheard: Emitted[] = [];

  constructor(options: IncidentsOptions) {
    this.#options = options;
    const { store, history, clock } = options;
    const { book, heard } = store.loadBook((position) => history.since(position) !== null);
    this.#book = book;
    this.#delivery = new Delivery(store, (id) => this.#mayChange(id));
    for (const incident of [...Object.values(book.open), ...book.settling]) if (store.isBehind(incident)) this.#changed(incident);
    const since = heard === null ? null : history.since(heard);
    // From here on it is known what is in it.
    if (since === null) store.saveBook(book, history.position);
    else this.#unheard.push(...this.#foldAgain(since));
    this.#abandon(clock.now());
    this.#urgent = true;
    if (this.#unheard.length === 0) this.written();
  }

  /** What followed from the last event of an earlier life, which was killed before it was in the outbox. Once; then `written`. */
  unheard(): readonly Emitted[] {
    return this.#unheard.splice(0);
  }

  /** What `take`, `catchUp` and `unheard` gave is in the outbox. */
  written(): void {
    if (this.#urgent) this.#save();
    this.#urgent = false;
    for (const [incident, why] of this.#toGather.splice(0)) this.#options.gather(incident, why);
  }

  /** The event as it is to be stored, and those that follow from it. To be appended at once, in this order; then `written`. */
  take(event: Emitted): { readonly event: Emitted; readonly follow: readonly Emitted[] } {
    const turn = this.#turn(event);
    const annotated = turn.incident === null ? event : { ...event, data: { ...event.data, incident: turn.incident } };
    return { event: annotated, follow: following(turn, event.at) };
  }

  /** Something that is no event of its own but belongs into the timeline. */
  observe(event: Omit<BookEvent, 'kind' | 'at'>): void {
    this.#turn({ ...event, kind: 'observed', at: this.#options.clock.now() });
    this.written();
  }

  /**
   * After a restart of the agent: a workload that is ready since `readyAt`, or an engine that answers, whose event an
   * earlier life could not tell any more. Gives the events that are missing.
   */
  catchUp(state: { readonly workload: string; readonly readyAt: number } | { readonly engine: 'up' }): readonly Emitted[] {
    const now = this.#options.clock.now();
    const common = { severity: 'info', data: {}, message: 'found so when the agent started' } as const;
    if ('engine' in state) {
      if (!this.#book.engineLost) return [];
      return this.#turn({ ...common, kind: 'engine.recovered', at: now }).closed.map((incident) => closedEvent(incident, now));
    }
    const open = this.#book.open[state.workload];
    if (open === undefined || state.readyAt < open.openedAt) return [];
    const turn = this.#turn({ ...common, kind: 'workload.ready', workload: state.workload, at: Math.min(now, state.readyAt) });
    return turn.closed.map((incident) => closedEvent(incident, now));
  }

  /** Other workloads are configured now. Gives the events that follow, to be appended; then `written`. */
  reconfigured(): readonly Emitted[] {
    const now = this.#options.clock.now();
    const closed = this.#abandon(now);
    if (closed.length > 0) this.#urgent = true;
    return closed.map((incident) => closedEvent(incident, now));
  }

  /** Null: nothing has ever happened to it. */
  lastOf(workload: string): string | null {
    return this.#book.last[workload] ?? null;
  }

  next(): IncidentMessage | null {
    return this.#delivery.next();
  }

  acknowledged(ack: IncidentAck): void {
    this.#delivery.acknowledged(ack);
  }

  onReady(listener: () => void): { dispose(): void } {
    this.#listeners.add(listener);
    return { dispose: () => void this.#listeners.delete(listener) };
  }

  /** The store has more of this incident than before. */
  evidenceFound(id: string): void {
    this.#delivery.changed(id);
    this.#notify();
  }

  stop(): void {
    this.#save();
    for (const timer of this.#settling.values()) timer.cancel();
    this.#listeners.clear();
  }

  #abandon(at: number): readonly Incident[] {
    const { book, changed } = abandon(this.#book, this.#options.workloads(), at);
    this.#book = book;
    for (const incident of changed) this.#changed(incident);
    return changed;
  }

  #turn(event: BookEvent): Turn {
    const workloads = this.#options.workloads();
    const turn = take(this.#book, event, { freshId: this.#freshId(event.at), workloads });
    this.#book = turn.book;
    for (const incident of turn.changed) this.#changed(incident);
    if (turn.opened !== null || turn.closed.length > 0) this.#urgent = true;
    else if (turn.changed.length > 0) this.#flush ??= this.#options.clock.after(gatherMs, () => this.#save());
    const own = this.#book.open[event.workload ?? hostKey];
    if (own !== undefined) this.#toGather.push([own, event]);
    return turn;
  }

  /** Gives what followed and is not among the events. */
  #foldAgain(events: readonly NewAgentEvent[]): Emitted[] {
    const workloads = this.#options.workloads();
    const told = new Set(events.map(incidentOfNews));
    return events.flatMap((event) => {
      const { incident, ...data } = event.data;
      const freshId = typeof incident === 'string' ? incident : this.#freshId(event.at);
      const turn = take(this.#book, { ...event, data }, { freshId, workloads });
      this.#book = turn.book;
      for (const one of turn.changed) this.#changed(one);
      return following(turn, event.at).filter((news) => !told.has(incidentOfNews(news)));
    });
  }

  #changed(incident: Incident): void {
    this.#dirty.set(incident.id, incident);
    if (incident.closedAt === null) return;
    this.#settling.get(incident.id)?.cancel();
    this.#settling.set(
      incident.id,
      this.#options.clock.after(settledMs, () => this.#settled(incident.id)),
    );
  }

  #settled(id: string): void {
    this.#settling.delete(id);
    if (this.#options.delivering) this.#delivery.settle(id);
    else this.#options.store.release(id);
    this.#options.store.prune();
  }

  #mayChange(id: string): boolean {
    return this.#settling.has(id) || this.#dirty.has(id) || Object.values(this.#book.open).some((incident) => incident.id === id);
  }

  #save(): void {
    this.#flush?.cancel();
    this.#flush = null;
    if (this.#dirty.size === 0) return;
    const { store, history } = this.#options;
    const dirty = [...this.#dirty.values()];
    this.#dirty.clear();
    // First, for it has all of them: documents that a kill -9 left behind are written when the next life begins.
    store.saveBook(this.#book, history.position);
    for (const incident of dirty) {
      store.put(incident);
      this.#delivery.changed(incident.id);
    }
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  /** `20260131-120000-x7k2m9`: sorts by time, can be read, and two hosts hardly ever make the same. */
  #freshId(at: number): string {
    const time = new Date(at)
      .toISOString()
      .replaceAll(/[-:]|\..*/g, '')
      .replace('T', '-');
    const letters = Array.from({ length: 6 }, () => alphabet[Math.floor(this.#options.random() * alphabet.length)]);
    return `${time}-${letters.join('')}`;
  }
}

const following = ({ opened, closed }: Turn, at: number): readonly Emitted[] => [
  ...(opened === null ? [] : [openedEvent(opened, at)]),
  ...closed.map((incident) => closedEvent(incident, at)),
];

/** Which incident was opened or closed; the same for all other events. */
const incidentOfNews = ({ kind, data }: NewAgentEvent): string =>
  kind === 'incident.opened' || kind === 'incident.closed' ? `${kind} ${String(data['incident'])}` : '';

/** Without those that look alike. */
const alphabet = 'abcdefghjkmnpqrstvwxyz0123456789';

function openedEvent({ id, workload, generation, cause, code, level, timeToDetectMs }: Incident, at: number): Emitted {
  return {
    at,
    kind: 'incident.opened',
    severity: 'warning',
    ...(workload === null ? {} : { workload }),
    ...(generation === null ? {} : { generation }),
    message: `incident ${id}: ${cause}`.slice(0, 4096),
    data: { incident: id, cause, code, level, timeToDetectMs },
  };
}

function closedEvent(incident: Incident, at: number): Emitted {
  const { id, workload, generation, cause, code, level, timeToDetectMs, timeToRecoverMs, attempts, escalations, byHand } = incident;
  const took = timeToRecoverMs === null ? '' : ` after ${formatDurationMs(timeToRecoverMs)}`;
  return {
    at,
    kind: 'incident.closed',
    severity: 'info',
    ...(workload === null ? {} : { workload }),
    ...(generation === null ? {} : { generation }),
    message: `incident ${id} is over${took}: ${cause}`.slice(0, 4096),
    data: { incident: id, cause, code, level, timeToDetectMs, timeToRecoverMs, attempts, escalations, byHand },
  };
}
