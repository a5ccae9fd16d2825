/**
 * The page of /metrics as bytes. That of a large fleet is half a second of work: it is made in slices, or the collector would stand still
 * for it and hold itself for overloaded; and whoever asks meanwhile gets the same page, or somebody who only may look could keep it busy
 * with nothing else by asking again and again.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '@relight/shared/clock';
import { metricsPieces, type MetricFamily } from './metrics-text.ts';

/** Everything else has its turn after this much work. */
const sliceMs = 10;
/** What takes less to make is not kept. */
const keptFromMs = 100;
/** Prometheus asks every few seconds: nobody is shown anything older by this. */
const keptMs = 1_000;

export interface MetricsPageDeps {
  readonly clock: Clock;
  readonly families: () => Iterable<MetricFamily>;
  /** Resolves when everything that waits has had its turn. */
  readonly turn?: () => Promise<unknown>;
}

export class MetricsPage {
  readonly #deps: MetricsPageDeps;
  #page: Promise<Buffer> | null = null;

  constructor(deps: MetricsPageDeps) {
    this.#deps = deps;
  }

  /** The page that is being made, or was a moment ago: for as long as it took, so that it never takes more than half of the time. */
  get(): Promise<Buffer> {
    if (this.#page !== null) return this.#page;
    const { clock } = this.#deps;
    const began = clock.monotonic();
    const page = this.#make();
    this.#page = page;
    const drop = (): void => void (this.#page = null);
    page.then(() => {
      const tookMs = clock.monotonic() - began;
      if (tookMs < keptFromMs) drop();
      else clock.after(Math.min(tookMs, keptMs), drop);
    }, drop);
    return page;
  }

  async #make(): Promise<Buffer> {
    const { clock, families, turn = setImmediate } = this.#deps;
    const pieces: Buffer[] = [];
    let began = clock.monotonic();
    for (const text of metricsPieces(families())) {
      pieces.push(Buffer.from(text));
      if (clock.monotonic() - began < sliceMs) continue;
      await turn();
      began = clock.monotonic();
    }
    return Buffer.concat(pieces);
  }
}
