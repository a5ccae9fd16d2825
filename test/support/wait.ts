/** Waiting for a condition instead of sleeping: tests say what they wait for, and a failure says what was last seen. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** Default 20,000: a machine on which everything else is tested at the same time may be slow for a while. */
  readonly timeoutMs?: number;
  /** Between two looks; default 20. */
  readonly everyMs?: number;
  /** For the failure message: `the container to be gone`. */
  readonly what: string;
}

/** Looks until `condition` gives something other than false, null or undefined, and returns that. A throwing condition fails at once. */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions): Promise<Exclude<T, false | null | undefined>> {
  const { timeoutMs = 20_000, everyMs = 20, what } = options;
  const began = performance.now();
  for (;;) {
    const value = await condition();
    if (value !== false && value !== null && value !== undefined) return value as Exclude<T, false | null | undefined>;
    if (performance.now() - began > timeoutMs) throw new Error(`waited ${timeoutMs} ms for ${what}; last seen: ${String(value)}`);
    await sleep(everyMs);
  }
}

/** Tries `assertions` until they pass, and fails with their own last error. */
export async function eventually<T>(assertions: () => T | Promise<T>, options: WaitOptions): Promise<T> {
  const { timeoutMs = 20_000, everyMs = 20, what } = options;
  const began = performance.now();
  for (;;) {
    try {
      return await assertions();
    } catch (error) {
      if (performance.now() - began > timeoutMs) throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: error });
    }
    await sleep(everyMs);
  }
}
