/**
 * How much one host may have stored that only its age removes: events, incidents, gaps. Of these an honest host has some kilobytes a
 * minute, and as many as its agent has kept when it comes back; a host that somebody else has taken over could fill the disk of the
 * whole fleet's collector in minutes. What is over it is not refused, it waits: nothing is acknowledged meanwhile. Log text has a
 * budget of its own (`retention.logs_bytes`). Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { SessionDeps } from './session.ts';

export interface AllowanceLimits {
  /** More than the outbox of an agent holds. */
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
}
export const defaultAllowance: AllowanceLimits = { burstBytes: 128 * 1024 * 1024, bytesPerSecond: 64 * 1024 };

/** Once for a host and time. */
const tellMs = 10 * 60_000;
/** Of a row beside what it says. */
const rowBytes = 200;

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
    const now = this.#deps.clock.monotonic();
    const { burstBytes, bytesPerSecond } = this.#limits;
    const known = this.#hosts.get(host) ?? { left: burstBytes, at: now, toldAt: -Infinity };
    const left = Math.min(burstBytes, known.left + ((now - known.at) / 1_000) * bytesPerSecond);
    if (left > 0) {
      this.#hosts.set(host, { ...known, left: left - bytes, at: now });
      return;
    }
    const message = `${host} sends more events than any honest host has: it is taken no faster than ${bytesPerSecond} bytes a second`;
    const error = new RelightError('overloaded', message);
    if (now - known.toldAt >= tellMs) this.#deps.warn(message, error);
    this.#hosts.set(host, { left, at: now, toldAt: now - known.toldAt >= tellMs ? now : known.toldAt });
    throw error;
  }

  /** Called now and then: hosts that have their whole allowance again are not remembered. */
  forget(): void {
    const { burstBytes, bytesPerSecond } = this.#limits;
    const now = this.#deps.clock.monotonic();
    for (const [host, { left, at }] of this.#hosts)
      if (left + ((now - at) / 1_000) * bytesPerSecond >= burstBytes) this.#hosts.delete(host);
  }
}

type Store = SessionDeps['store'];

/** The store as sessions see it. What is allowed is handed on in the same turn, so that nothing overtakes anything. */
export function metered(store: Store, allowances: Allowances): Store {
  const within = <T>(host: string, bytes: number, commit: () => Promise<T>): Promise<T> => {
    try {
      allowances.take(host, bytes);
    } catch (error) {
      return Promise.reject(toRelightError(error));
    }
    return commit();
  };
  return {
    lastEventSeq: (...args) => store.lastEventSeq(...args),
    committedOffset: (...args) => store.committedOffset(...args),
    commitBlock: (...args) => store.commitBlock(...args),
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
