/** Each test alert is a message to people, and a connection to wherever the sink is: one at a time for each sink, and a few a minute. */
import type { Clock } from '@relight/shared/clock';

/** Within a minute, for each sink. */
export const testsMax = 6;
const windowMs = 60_000;
/** As long as an answer may take (alerts/sinks/delivery.ts). */
const answerS = 10;

export class SinkTestLimit {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** When tests began within the last minute, by the sink's place. */
  readonly #begun = new Map<number, readonly number[]>();
  readonly #running = new Set<number>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Seconds until this one may be tested. 0: now. */
  waitS(place: number): number {
    const since = this.#recent(place).at(-testsMax);
    const window = since === undefined ? 0 : Math.max(1, Math.ceil((since + windowMs - this.#clock.monotonic()) / 1_000));
    return Math.max(window, this.#running.has(place) ? answerS : 0);
  }

  /** Only those for which nothing is to be waited. */
  async run<T>(places: readonly number[], test: () => Promise<T>): Promise<T> {
    for (const place of places) {
      this.#running.add(place);
      this.#begun.set(place, [...this.#recent(place), this.#clock.monotonic()]);
    }
    try {
      return await test();
    } finally {
      for (const place of places) this.#running.delete(place);
    }
  }

  #recent(place: number): readonly number[] {
    const now = this.#clock.monotonic();
    return (this.#begun.get(place) ?? []).filter((at) => now - at < windowMs);
  }
}
