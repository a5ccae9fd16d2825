/** What is left alone until it can be read: epochs by their ids, files by their names. Pure. */
export class HeldBack {
  readonly #ids = new Set<string>();

  get some(): boolean {
    return this.#ids.size > 0;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  add(id: string): void {
    this.#ids.add(id);
  }

  remove(id: string): void {
    this.#ids.delete(id);
  }

  /** Lets go of those that `read` can read, up to the first that it cannot, which comes last the next time. Returns why that is; null: all can be read. */
  tryAgain(read: (id: string) => void): unknown {
    for (const id of this.#ids) {
      this.#ids.delete(id);
      try {
        read(id);
      } catch (error) {
        this.#ids.add(id);
        return error;
      }
    }
    return null;
  }
}
