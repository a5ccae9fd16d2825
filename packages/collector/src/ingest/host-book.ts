/**
 * The records of all hosts in memory, and their way to disk: a change of state at once, mere metrics at most every 30 s
 * for a host, so that ten thousand heartbeats every ten seconds are not ten thousand writes.
 */
import type { Clock } from '@relight/shared/clock';
import { toRelightError, type RelightError } from '@relight/shared/errors';
import type { Bus } from '../bus.ts';
import type { HostLiveness } from '../liveness/liveness.ts';
import type { CollectorEvent, HostRecord, Store, StoredIncident } from '../store/store.ts';
import { incidentEnded } from './host-record.ts';
import type { Contender } from '../liveness/shared-identity.ts';
import type { Session } from './session.ts';

export interface HostEntry {
  record: HostRecord;
  live: HostLiveness;
  /** When time alone may change the state; monotonic. */
  deadline: number | null;
  session: Session | null;
  /** Lives of the machine that were taken over from while they were connected, the newest last. */
  readonly displaced: Set<string>;
  /** Another machine with its id. */
  contender: Contender | null;
  /** Agents that may no longer speak for it, who came latest last. */
  readonly fenced: Set<string>;
  /** What a person was told of it last (LiveFleet). */
  lastNotice: string | null;
}

interface Persistence {
  dirty: boolean;
  urgent: boolean;
  /** Writes under way. */
  writing: number;
  /** Monotonic. */
  writtenAt: number;
}

/** Of one host, on their way to disk at once. */
const writingMax = 16;
const metricsPersistMs = 30_000;

export interface HostBookDeps {
  readonly store: Pick<Store, 'putHost' | 'deleteHost' | 'closeIncidents'>;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly warn: (message: string, error: RelightError) => void;
  readonly tell: (event: CollectorEvent) => void;
}

export class HostBook {
  readonly #deps: HostBookDeps;
  readonly #entries = new Map<string, HostEntry & { persistence: Persistence }>();
  /** Agent id → the name of its host. */
  readonly #hostOf = new Map<string, string>();

  constructor(deps: HostBookDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#entries.size;
  }

  entries(): Iterable<HostEntry> {
    return this.#entries.values();
  }

  get(name: string): HostEntry | undefined {
    return this.#entries.get(name);
  }

  /** The host, of whatever name, whose agent has this id. */
  ofAgent(agentId: string): HostEntry | undefined {
    return this.#entries.get(this.#hostOf.get(agentId) ?? '');
  }

  /** From now on this agent, and no other, is that of the host `name`. */
  speaksFor(agentId: string, name: string): void {
    const former = this.#entries.get(name)?.record.agentId ?? null;
    if (former !== null) this.#hostOf.delete(former);
    this.#hostOf.set(agentId, name);
  }

  /** Takes a record into the book; `stored`: as it lies on disk already. */
  add(record: HostRecord, live: HostLiveness, deadline: number | null, stored: boolean): HostEntry {
    const persistence = { dirty: !stored, urgent: false, writing: 0, writtenAt: this.#deps.clock.monotonic() };
    const entry = {
      record,
      live,
      deadline,
      session: null,
      displaced: new Set<string>(),
      contender: null,
      fenced: new Set<string>(),
      lastNotice: null,
      persistence,
    };
    this.#entries.set(record.name, entry);
    if (record.agentId !== null) this.#hostOf.set(record.agentId, record.name);
    return entry;
  }

  /** Publishes the record and sees to its way to disk. */
  changed(entry: HostEntry, urgent: boolean): void {
    const { name } = entry.record;
    const mine = this.#entries.get(name);
    if (mine !== entry) return;
    mine.persistence.dirty = true;
    mine.persistence.urgent ||= urgent;
    if (urgent) this.#write(name, writingMax);
    this.#deps.bus.publish('host', entry.record);
  }

  /** With it its open incidents end, which nobody could close any more. False: there was none. */
  async remove(name: string): Promise<boolean> {
    const agentId = this.#entries.get(name)?.record.agentId ?? null;
    if (agentId !== null && this.#hostOf.get(agentId) === name) this.#hostOf.delete(agentId);
    const known = this.#entries.delete(name);
    const { store, bus, clock } = this.#deps;
    // Both are asked for at once: what a host that comes back writes is behind them, unless it has more open incidents than end at a time.
    const [ended, stored] = await Promise.all([store.closeIncidents(name, clock.now()), store.deleteHost(name)]);
    for (let { closed, rest } = ended; ; { closed, rest } = await store.closeIncidents(name, clock.now(), rest)) {
      this.endIncidents(closed, 'its host is known no more');
      if (rest === null) break;
    }
    if (known) bus.publish('hostDeleted', name);
    return known || stored;
  }

  /** Closed in the store, for their agent will not: everybody who watches learns it here. */
  endIncidents(closed: readonly StoredIncident[], because: string): void {
    for (const incident of closed) {
      this.#deps.bus.publish('incident', incident);
      this.#deps.tell(incidentEnded(incident, because));
    }
  }

  /** Called regularly: writes what is due, and what could not be written before. */
  flush(): void {
    const now = this.#deps.clock.monotonic();
    for (const [name, { persistence }] of this.#entries) {
      if (persistence.dirty && (persistence.urgent || now - persistence.writtenAt >= metricsPersistMs)) this.#write(name, 1);
    }
  }

  /** At the end: hands every record to the store, whatever is under way. A goodbye behind it would be lost, and its host be called dead. */
  flushAll(): void {
    for (const [name, { persistence }] of this.#entries) if (persistence.dirty) this.#write(name, Infinity);
  }

  /**
   * The store writes in the order it is asked. A change of state never waits for a write under way: a collector killed meanwhile
   * would believe the state before, and of a host that is called stopped nobody would ever learn that it died. What is more than a
   * host's states change waits until one of them is written: an agent that says another one with each frame would fill the memory of a
   * slow disk. `below`: so many writes under way.
   */
  #write(name: string, below: number): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.persistence.writing >= below) return;
    const { persistence } = entry;
    Object.assign(persistence, { dirty: false, urgent: false, writtenAt: this.#deps.clock.monotonic() });
    persistence.writing += 1;
    this.#deps.store
      .putHost(entry.record)
      .finally(() => {
        persistence.writing -= 1;
      })
      .then(
        () => {
          if (persistence.urgent) this.#write(name, writingMax);
        },
        (error: unknown) => {
          // Not before the next flush: what a failing store refuses would be tried without end.
          Object.assign(persistence, { dirty: true, urgent: true });
          this.#deps.warn(`host ${name} could not be written, trying again`, toRelightError(error));
        },
      );
  }
}
