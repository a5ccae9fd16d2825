/**
 * What has just become true, for everyone in this process who shows or judges it: live API streams, alert rules. Published
 * only after the durable commit. A listener must return at once and never throw; slow readers buffer and drop for themselves.
 */
import type { AlertRecord, HostRecord, IncidentPlace, StoredEvent, StoredIncident, StoredLogPiece } from './store/store.ts';

export interface BusTopics {
  readonly events: readonly StoredEvent[];
  readonly logs: StoredLogPiece;
  /** Any change of a host or its workloads, heartbeats included. */
  readonly host: HostRecord;
  readonly hostDeleted: string;
  readonly alert: AlertRecord;
  /** A new revision, or closed here because nobody else can: those before the one that they give way to. */
  readonly incident: StoredIncident;
  /** Open ones that retention has taken away. */
  readonly incidentsRemoved: readonly IncidentPlace[];
}

type Listeners = { readonly [K in keyof BusTopics]: Set<(payload: BusTopics[K]) => void> };

export class Bus {
  readonly #listeners: Listeners = {
    events: new Set(),
    logs: new Set(),
    host: new Set(),
    hostDeleted: new Set(),
    alert: new Set(),
    incident: new Set(),
    incidentsRemoved: new Set(),
  };

  publish<K extends keyof BusTopics>(topic: K, payload: BusTopics[K]): void {
    for (const listener of this.#listeners[topic]) listener(payload);
  }

  subscribe<K extends keyof BusTopics>(topic: K, listener: (payload: BusTopics[K]) => void): { dispose(): void } {
    const set = this.#listeners[topic];
    set.add(listener);
    return { dispose: () => void set.delete(listener) };
  }
}
