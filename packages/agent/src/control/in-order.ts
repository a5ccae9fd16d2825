/** What is done to one thing is done in the order in which it was asked for; what is done to others does not wait for it. */
export class InOrder {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Begins `task` when all that was asked before for one of `keys` has ended, well or not: at once where that is nothing. */
  run<T>(keys: readonly string[], task: () => Promise<T>): Promise<T> {
    const before = keys.flatMap((key) => this.#last.get(key) ?? []);
    const result = before.length === 0 ? task() : Promise.allSettled(before).then(task);
    const ended: Promise<void> = result.then(
      () => this.#forget(keys, ended),
      () => this.#forget(keys, ended),
    );
    for (const key of keys) this.#last.set(key, ended);
    return result;
  }

  #forget(keys: readonly string[], ended: Promise<unknown>): void {
    for (const key of keys) if (this.#last.get(key) === ended) this.#last.delete(key);
  }
}
