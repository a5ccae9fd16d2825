/** Epochs that are not sent until they can be read. Pure. */
export class HeldBack {
  readonly #epochs = new Set<string>();

  get some(): boolean {
    return this.#epochs.size > 0;
  }

  has(epoch: string): boolean {
    return this.#epochs.has(epoch);
  }

  add(epoch: string): void {
    this.#epochs.add(epoch);
  }

  /** Lets go of those that `read` can read, up to the first that it cannot, which comes last the next time. Returns why that is; null: all can be read. */
  tryAgain(read: (epoch: string) => void): unknown {
    for (const epoch of this.#epochs) {
      this.#epochs.delete(epoch);
      try {
        read(epoch);
      } catch (error) {
        this.#epochs.add(epoch);
        return error;
      }
    }
    return null;
  }
}
