/**
 * How much one host may have stored that only its age removes: events, incidents, gaps, alerts, and how far each segment of its logs has come. Of these an honest host has some kilobytes a
 * minute, and as many as its agent has kept when it comes back; a host that somebody else has taken over could fill the disk of the
 * whole fleet's collector in minutes. What is over it is not refused, it waits: nothing is acknowledged meanwhile. Log text has a
 * budget of its own (`retention.logs_bytes`). Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { SessionDeps } from './session.ts';

export interface AllowanceLimits {
  /** More than an agent keeps for a collector that is away: 64 MiB of events, and 64 MiB of incidents, which are a third more on their way. */
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
}
export const defaultAllowance: AllowanceLimits = { burstBytes: 256 * 1024 * 1024, bytesPerSecond: 64 * 1024 };

/** Once for a host and time. */
const tellMs = 10 * 60_000;
/** Of a row beside what it says. */
const rowBytes = 200;
/** Of a segment that begins: how far it is committed is copied into each new log file, and outlives the segment's lines. */
const segmentBytes = 4 * 1024;

export interface AllowancesDeps {
  readonly clock: Clock;
  readonly limits?: AllowanceLimits;
  readonly warn: (message: string, error: RelightError) => void;
}

export class Allowances {
  readonly #deps: AllowancesDeps;
  readonly #limits: AllowanceLimits;
  /** Of hosts that have not their whole allowance. */
  readonly #hosts = new Map<string, { left: number; at: number; toldAt: number }>();

  constructor(deps: AllowancesDeps) {
    this.#deps = deps;
    this.#limits = deps.limits ?? defaultAllowance;
  }

  /** Throws `overloaded` while the host has nothing left: the same is to be tried again. One message may go beyond what is left. */
  take(host: string, bytes: number): void {
    if (this.#left(host) > 0) return this.charge(host, bytes);
    const now = this.#deps.clock.monotonic();
    const known = this.#hosts.get(host);
    const { bytesPerSecond } = this.#limits;
    const message = `${host} sends more events, or more logs that begin, than any honest host: it is taken no faster than ${bytesPerSecond} bytes a second`;
    const error = new RelightError('overloaded', message);
    if (known !== undefined && now - known.toldAt >= tellMs) {
      known.toldAt = now;
      this.#deps.warn(message, error);
    }
    throw error;
  }

  /** For what is stored because of something that the host has said; below 0: it was not stored. */
  charge(host: string, bytes: number): void {
    const toldAt = this.#hosts.get(host)?.toldAt ?? -Infinity;
    this.#hosts.set(host, { left: this.#left(host) - bytes, at: this.#deps.clock.monotonic(), toldAt });
  }

  /** Hosts that have nothing left. */
  spent(): ReadonlySet<string> {
    return new Set([...this.#hosts.keys()].filter((host) => this.#left(host) <= 0));
  }

  #left(host: string): number {
    const { burstBytes, bytesPerSecond } = this.#limits;
    const known = this.#hosts.get(host);
    if (known === undefined) return burstBytes;
    return Math.min(burstBytes, known.left + ((this.#deps.clock.monotonic() - known.at) / 1_000) * bytesPerSecond);
  }

  /** Called now and then: hosts that have their whole allowance again are not remembered. */
  forget(): void {
    for (const host of this.#hosts.keys()) if (this.#left(host) >= this.#limits.burstBytes) this.#hosts.delete(host);
  }
}

type Store = SessionDeps['store'];

/** The store as sessions see it. What is allowed is handed on in the same turn, so that nothing overtakes anything. */
export function metered(store: Store, allowances: Allowances): Store {
  const within = <T>(host: string, bytes: number, commit: () => Promise<T>): Promise<T> => {
    if (bytes === 0) return commit();
    try {
      allowances.take(host, bytes);
    } catch (error) {
      return Promise.reject(toRelightError(error));
    }
    const committed = commit();
    // What could not be stored is tried again, once a second: a full disk of the collector's own must not use up what a host has.
    // Beside the promise that is handed on, whose answer would be overtaken else.
    void committed.catch(() => allowances.charge(host, -bytes));
    return committed;
  };
  return {
    lastEventSeq: (...args) => store.lastEventSeq(...args),
    committedOffset: (...args) => store.committedOffset(...args),
    commitBlock: (agentId, host, block, receivedAt) =>
      within(host, block.header.from === 0 ? segmentBytes : 0, () => store.commitBlock(agentId, host, block, receivedAt)),
    commitEvents: (agentId, host, epoch, events, receivedAt) =>
      within(host, JSON.stringify(events).length + rowBytes * events.length, () =>
        store.commitEvents(agentId, host, epoch, events, receivedAt),
      ),
    commitGap: (agentId, host, gap, receivedAt) =>
      within(host, JSON.stringify(gap).length + rowBytes, () => store.commitGap(agentId, host, gap, receivedAt)),
    commitIncident: (host, incident, receivedAt) =>
      within(host, JSON.stringify(incident).length, () => store.commitIncident(host, incident, receivedAt)),
    commitIncidentEvidence: (host, evidence) =>
      within(host, evidence.body.length + rowBytes, () => store.commitIncidentEvidence(host, evidence)),
  };
}
