/**
 * How fast the messages of one host are read. The thread that answers everybody parses, checks and handles each of them, up to 1 MiB, and no
 * acknowledgement holds back who sends heartbeats, or what nobody understands: a host that somebody else has taken over could keep
 * all others waiting. Nothing is refused or lost, what is too fast is read later. Log blocks do not count: nobody opens them on their
 * way to the store. Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { formatBytes } from '@relight/shared/units';

export interface PaceLimits {
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
  /** Milliseconds, of one message. Each connection has one message read before it waits: many of them must not put a host in debt without end. */
  readonly waitMax: number;
}
/**
 * Some 20 ms of a core for a MiB of heartbeats. An honest agent sends ten small ones a second at the very most, and what it has kept for
 * a collector that was away is here in half a minute. One message of 1 MiB makes it wait
 * a quarter of a second; after four the next heartbeat of a host that somebody else has put in debt is there well before it is suspect (25 s),
 * or its connection counts as dead (45 s).
 */
export const defaultPace: PaceLimits = { burstBytes: 4 * 1024 * 1024, bytesPerSecond: 4 * 1024 * 1024, waitMax: 4_000 };

/** What a message costs beside its bytes. */
const messageBytes = 16 * 1024;
/** Longer than an honest agent needs for all that it may have kept. */
const tooLongMs = 60_000;
/** Once for a host and time. */
const tellMs = 10 * 60_000;

export interface PaceDeps {
  readonly clock: Clock;
  readonly limits?: PaceLimits;
  readonly warn: (message: string, error: RelightError) => void;
}

export class Pace {
  readonly #deps: PaceDeps;
  readonly #limits: PaceLimits;
  /** `busyUntil`: when its messages would be read at the pace, one behind the other; `since`: it was not later than that at any time. Monotonic. */
  readonly #hosts = new Map<string, { busyUntil: number; since: number; toldAt: number }>();

  constructor(deps: PaceDeps) {
    this.#deps = deps;
    this.#limits = deps.limits ?? defaultPace;
  }

  /**
   * One message of so many bytes was handled. For how many milliseconds nothing else of the host is to be.
   *
   * @param host empty before the hello, of all together: that waits as long as it takes, for an agent says hello first
   */
  spend(host: string, bytes: number): number {
    const now = this.#deps.clock.monotonic();
    const { burstBytes, bytesPerSecond, waitMax } = this.#limits;
    const burstMs = (burstBytes / bytesPerSecond) * 1_000;
    const known = this.#hosts.get(host);
    const goesOn = known !== undefined && known.busyUntil > now;
    const takesMs = ((messageBytes + bytes) / bytesPerSecond) * 1_000;
    const entry = {
      busyUntil: Math.min((goesOn ? known.busyUntil : now) + takesMs, now + burstMs + (host === '' ? Infinity : waitMax)),
      since: goesOn ? known.since : now,
      toldAt: known?.toldAt ?? -Infinity,
    };
    this.#hosts.set(host, entry);
    const waitMs = Math.max(0, entry.busyUntil - now - burstMs);
    if (waitMs > 0 && now - entry.since >= tooLongMs && now - entry.toldAt >= tellMs) {
      entry.toldAt = now;
      const message = `${host} sends more messages than any honest host: they are read no faster than ${formatBytes(bytesPerSecond)} a second`;
      this.#deps.warn(message, new RelightError('overloaded', message));
    }
    return waitMs;
  }

  /** Called now and then: hosts that are not behind are not remembered. */
  forget(): void {
    const now = this.#deps.clock.monotonic();
    for (const [host, { busyUntil, toldAt }] of this.#hosts) if (busyUntil <= now && now - toldAt >= tellMs) this.#hosts.delete(host);
  }
}
