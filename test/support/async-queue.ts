/** Values pushed by one side and iterated by the other, in order; unbounded. */
export class AsyncQueue<T> {
  #values: T[] = [];
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  push(value: T): void {
    this.#values.push(value);
    this.#wake?.();
  }

  /** The reader throws this after the values that were pushed before. */
  fail(error: Error): void {
    this.#error = error;
    this.#wake?.();
  }

  /** Ends when the signal aborts. */
  async *read(signal: AbortSignal): AsyncGenerator<T> {
    const wake = (): void => this.#wake?.();
    signal.addEventListener('abort', wake, { once: true });
    try {
      for (;;) {
        if (signal.aborted) return;
        const values = this.#values.splice(0);
        // Nothing may be awaited between a look that finds nothing and the wait: even the `yield*` of no values would be.
        if (values.length > 0) {
          yield* values;
          continue;
        }
        if (this.#error !== undefined) throw this.#error;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }
}
