/**
 * Containers about which the engine says nothing although it answers otherwise: it holds a lock on them. Each is asked about beside the looks,
 * which would wait for it, in a call that waits long: its answer comes in the moment in which the lock is given back.
 */
import { delay, type Clock } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
import type { Engine } from './engine.ts';

/** Every call that is given up leaves a waiter in the engine for as long as the lock lasts: few long ones. */
const askMs = 60_000;
const againMs = 1_000;

export interface SilentContainer {
  readonly id: string;
  /** The configured name that it has; null: it is ours by its labels alone. */
  readonly name: string | null;
  /** When it was first asked about in vain, monotonic. */
  readonly since: number;
}

export class SilentContainers {
  readonly #options: { readonly engine: Pick<Engine, 'inspect'>; readonly clock: Clock; readonly onAnswer: () => void };
  readonly #silent = new Map<string, { readonly since: number; readonly asking: AbortController }>();

  constructor(options: { readonly engine: Pick<Engine, 'inspect'>; readonly clock: Clock; readonly onAnswer: () => void }) {
    this.#options = options;
  }

  has(id: string): boolean {
    return this.#silent.has(id);
  }

  /** Of those listed. `nameOf`: what the lists say. */
  list(nameOf: (id: string) => string | null): readonly SilentContainer[] {
    return [...this.#silent].map(([id, { since }]) => ({ id, name: nameOf(id), since }));
  }

  add(id: string, since: number): void {
    if (this.#silent.has(id)) return;
    const asking = new AbortController();
    this.#silent.set(id, { since, asking });
    void this.#ask(id, asking.signal);
  }

  /** The others are gone. */
  keep(listed: ReadonlySet<string>): void {
    for (const id of this.#silent.keys()) if (!listed.has(id)) this.#forget(id);
  }

  /** The engine as a whole is silent, or nobody asks any more. */
  clear(): void {
    for (const id of this.#silent.keys()) this.#forget(id);
  }

  #forget(id: string): void {
    this.#silent.get(id)?.asking.abort();
    this.#silent.delete(id);
  }

  async #ask(id: string, signal: AbortSignal): Promise<void> {
    const { engine, clock, onAnswer } = this.#options;
    while (!(await this.#answers(engine, id, signal))) await delay(clock, againMs, signal).catch(() => {});
    if (signal.aborted) return;
    this.#silent.delete(id);
    onAnswer();
  }

  /** True, too, when nobody wants to know any more. */
  async #answers(engine: Pick<Engine, 'inspect'>, id: string, signal: AbortSignal): Promise<boolean> {
    try {
      await engine.inspect(id, { timeoutMs: askMs, signal });
      return true;
    } catch (thrown) {
      const { code } = toRelightError(thrown, 'engine-error');
      return signal.aborted || (code !== 'engine-timeout' && code !== 'engine-unreachable');
    }
  }
}
