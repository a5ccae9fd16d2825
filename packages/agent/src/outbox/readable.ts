/** How far events may leave the process, and who wants to hear when that goes further. */
export class Readable {
  readonly #listeners = new Set<() => void>();
  #upTo = 0;

  get upTo(): number {
    return this.#upTo;
  }

  advance(seq: number): void {
    if (seq <= this.#upTo) return;
    this.#upTo = seq;
    this.notify();
  }

  /** Of another epoch, of which nobody needs to hear yet. */
  reset(seq: number): void {
    this.#upTo = seq;
  }

  notify(): void {
    for (const listener of this.#listeners) listener();
  }

  onAdvance(listener: () => void): { dispose(): void } {
    this.#listeners.add(listener);
    return { dispose: () => void this.#listeners.delete(listener) };
  }

  close(): void {
    this.#listeners.clear();
  }
}
