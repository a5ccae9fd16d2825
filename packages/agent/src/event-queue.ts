/** Events one at a time and in order, also those that come while one is being taken. */
export class EventQueue<E> {
  readonly #waiting: E[] = [];
  readonly #take: (event: E) => void;
  readonly #settle: () => void;
  #taking = false;

  /** @param settle called whenever nothing is left to take */
  constructor(take: (event: E) => void, settle: () => void) {
    this.#take = take;
    this.#settle = settle;
  }

  add(event: E): void {
    this.#waiting.push(event);
    if (this.#taking) return;
    this.#taking = true;
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#take(next);
    } finally {
      this.#taking = false;
    }
    this.#settle();
  }
}
