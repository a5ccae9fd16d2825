/**
 * What has just become true, for everyone in this process who shows or judges it: live API streams, alert rules. Published
 * only after the durable commit. A listener must return at once and never throw; slow readers buffer and drop for themselves.
 */
import type { AlertRecord, HostRecord, StoredEvent, StoredLogPiece } from './store/store.ts';

export interface BusTopics {
  readonly events: readonly StoredEvent[];
  readonly logs: StoredLogPiece;
  /** Any change of a host or its workloads, heartbeats included. */
  readonly host: HostRecord;
  readonly hostDeleted: string;
  readonly alert: AlertRecord;
}

type Listener<T> = (payload: T) => void;

export class Bus {
  readonly #listeners = new Map<keyof BusTopics, Set<Listener<never>>>();

  publish<K extends keyof BusTopics>(topic: K, payload: BusTopics[K]): void {
    for (const listener of this.#listeners.get(topic) ?? []) (listener as Listener<BusTopics[K]>)(payload);
  }

  subscribe<K extends keyof BusTopics>(topic: K, listener: Listener<BusTopics[K]>): { dispose(): void } {
    const set = this.#listeners.get(topic) ?? new Set<Listener<never>>();
    this.#listeners.set(topic, set);
    set.add(listener as Listener<never>);
    return { dispose: () => void set.delete(listener as Listener<never>) };
  }
}
