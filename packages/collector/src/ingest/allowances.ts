/**
 * How much one host may have stored that only its age removes: events, incidents, gaps, alerts, and how far each segment of its
 * logs has come. Of these an honest host has some kilobytes a minute, and as many as its agent has kept when it comes back; a
 * host that somebody else has taken over could fill the disk of the whole fleet's collector in minutes. What is over it is not
 * refused, it waits: nothing is acknowledged meanwhile, and the host's record says so (held-back.ts). Log text has a budget of
 * its own (`retention.logs_bytes`). Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { MetricFamily } from '../api/metrics-text.ts';
import { isHeldBack, type HeldBack } from '../liveness/over-allowance.ts';
import type { SessionDeps } from './session.ts';

export interface AllowanceLimits {
  /**
   * More than an agent keeps for a collector that is away: 64 MiB of events, and 64 MiB of incidents, which are a third more on
   * their way.
   */
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
}
export const defaultAllowance: AllowanceLimits = { burstBytes: 256 * 1024 * 1024, bytesPerSecond: 64 * 1024 };

/** Once for a host and time. */
const tellMs = 10 * 60_000;
/** Of a row beside what it says. */
export const rowBytes = 200;
/** Of a segment that begins: how far it is committed is copied into each new log file, and outlives the segment's lines. */
const segmentBytes = 4 * 1024;
/** A segment begins with a block, or with a hole where its first lines are lost. */
const beginning = ({ from }: { readonly from: number }): number => (from === 0 ? segmentBytes : 0);

export interface AllowancesDeps {
  readonly clock: Clock;
  readonly limits?: AllowanceLimits;
  readonly warn: (message: string, error: RelightError) => void;
}

export class Allowances {
  readonly #deps: AllowancesDeps;
  readonly #limits: AllowanceLimits;
  /** Of hosts that have not their whole allowance. */
  readonly #hosts = new Map<string, { left: number; at: number }>();
  readonly #held = new Map<string, HeldBack & { readonly toldAt: number }>();
  #heldBackTotal = 0;

  constructor(deps: AllowancesDeps) {
    this.#deps = deps;
    this.#limits = deps.limits ?? defaultAllowance;
  }

  /** Throws `overloaded` while the host has nothing left: the same is to be tried again. One message may go beyond what is left. */
  take(host: string, bytes: number): void {
    if (this.#left(host) > 0) return this.charge(host, bytes);
    const { clock, warn } = this.#deps;
    const now = clock.monotonic();
    const held = this.#held.get(host);
    const message =
      `${host} sends more events, or more logs that begin, than any honest host: ` +
      `it is taken no faster than ${this.#limits.bytesPerSecond} bytes a second`;
    const error = new RelightError('overloaded', message);
    const tells = held === undefined || now - held.toldAt >= tellMs;
    const since = isHeldBack(held, now) ? held.since : clock.now();
    this.#held.set(host, { since, lastMono: now, toldAt: tells ? now : held.toldAt });
    this.#heldBackTotal += 1;
    if (tells) warn(message, error);
    throw error;
  }

  /** For what is stored because of something that the host has said; below 0: it was not stored. */
  charge(host: string, bytes: number): void {
    this.#hosts.set(host, { left: this.#left(host) - bytes, at: this.#deps.clock.monotonic() });
  }

  /** Hosts that have nothing left. */
  spent(): ReadonlySet<string> {
    return new Set([...this.#hosts.keys()].filter((host) => this.#left(host) <= 0));
  }

  /** Null: it had not to wait lately. */
  heldBack(host: string, nowMono: number): HeldBack | null {
    const held = this.#held.get(host);
    return isHeldBack(held, nowMono) ? held : null;
  }

  /** Those that had to wait lately, and perhaps some that had to a little before. */
  heldBackHosts(): Iterable<string> {
    return this.#held.keys();
  }

  families(): MetricFamily[] {
    const now = this.#deps.clock.monotonic();
    const hosts = [...this.#held.values()].filter((held) => isHeldBack(held, now)).length;
    return [
      {
        name: 'relight_ingest_held_back_hosts',
        help: 'Hosts over the allowance of what they may have stored, now or within the last ten minutes.',
        type: 'gauge',
        samples: [{ value: hosts }],
      },
      {
        name: 'relight_ingest_held_back_total',
        help: 'Writes that were told to wait for the allowance of their host; each try counts, one a second.',
        type: 'counter',
        samples: [{ value: this.#heldBackTotal }],
      },
    ];
  }

  #left(host: string): number {
    const { burstBytes, bytesPerSecond } = this.#limits;
    const known = this.#hosts.get(host);
    if (known === undefined) return burstBytes;
    return Math.min(burstBytes, known.left + ((this.#deps.clock.monotonic() - known.at) / 1_000) * bytesPerSecond);
  }

  /** Called now and then: hosts that have their whole allowance again are not remembered, nor that one had to wait long ago. */
  forget(): void {
    for (const host of this.#hosts.keys()) if (this.#left(host) >= this.#limits.burstBytes) this.#hosts.delete(host);
    const now = this.#deps.clock.monotonic();
    for (const [host, held] of this.#held) if (!isHeldBack(held, now)) this.#held.delete(host);
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
      within(host, beginning(block.header), () => store.commitBlock(agentId, host, block, receivedAt)),
    commitEvents: (agentId, host, epoch, events, receivedAt) =>
      within(host, JSON.stringify(events).length + rowBytes * events.length, () =>
        store.commitEvents(agentId, host, epoch, events, receivedAt),
      ),
    commitGap: (agentId, host, gap, receivedAt) =>
      within(host, JSON.stringify(gap).length + rowBytes + beginning(gap), () => store.commitGap(agentId, host, gap, receivedAt)),
    commitIncident: (host, incident, receivedAt) =>
      within(host, JSON.stringify(incident).length, () => store.commitIncident(host, incident, receivedAt)),
    commitIncidentEvidence: (host, evidence) =>
      within(host, evidence.body.length + rowBytes, () => store.commitIncidentEvidence(host, evidence)),
  };
}
