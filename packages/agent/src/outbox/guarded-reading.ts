/** Reading what may not let itself be read: no failure gets through, and it is said once where, why, and what to do. */
import { errorMessage } from '@relight/shared/errors';
import type { Logger } from 'pino';

export class GuardedReading {
  readonly #directory: string;
  readonly #logger: Pick<Logger, 'error'>;
  #error: unknown = null;

  constructor(directory: string, logger: Pick<Logger, 'error'>) {
    this.#directory = directory;
    this.#logger = logger;
  }

  /** The last one failed. */
  get failing(): boolean {
    return this.#error !== null;
  }

  /** Null: it failed. */
  attempt<T>(read: () => T): T | null {
    try {
      const found = read();
      this.succeeded();
      return found;
    } catch (error) {
      this.failed(error);
      return null;
    }
  }

  /** `onFailure` is called with why it goes no further. */
  *asFarAsItGoes<T>(items: Iterable<T>, onFailure?: (error: unknown) => void): Generator<T> {
    try {
      yield* items;
      this.succeeded();
    } catch (error) {
      this.failed(error);
      onFailure?.(error);
    }
  }

  succeeded(): void {
    this.#error = null;
  }

  failed(error: unknown, andSo = 'they wait until they can'): void {
    const told = this.failing;
    this.#error = error ?? new Error('unknown');
    if (told) return;
    const directory = this.#directory;
    const advice =
      `Look at the disk of ${directory} (dmesg), and at who may read it. If it is lost for good: stop the agent, move ${directory} away, ` +
      'start it. Workloads go on as they are.';
    this.#logger.error({ error: errorMessage(error), directory, advice }, `event outbox: events cannot be read; ${andSo}`);
  }
}
