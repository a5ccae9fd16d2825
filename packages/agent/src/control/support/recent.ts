/** The last of what was told, kept in memory for a support bundle: what the collector has taken is on this host no more. */
import { agentEventSchema } from '@relight/shared/event';
import * as z from 'zod';

export const recentSchema = z.object({
  /** Oldest first. */
  events: z.array(agentEventSchema),
  /** Lines of the agent's own log, oldest first. */
  log: z.array(z.string()),
});
export type Recent = z.infer<typeof recentSchema>;

/** The last items, within `max` of them and `weightMax` together. */
export class Ring<T> {
  readonly #items: T[] = [];
  readonly #max: number;
  readonly #weightMax: number;
  readonly #weigh: (item: T) => number;
  #weight = 0;

  constructor(max: number, weightMax: number, weigh: (item: T) => number) {
    this.#max = max;
    this.#weightMax = weightMax;
    this.#weigh = weigh;
  }

  add(item: T): void {
    this.#items.push(item);
    this.#weight += this.#weigh(item);
    while (this.#items.length > this.#max || (this.#weight > this.#weightMax && this.#items.length > 1)) {
      const oldest = this.#items.shift();
      if (oldest !== undefined) this.#weight -= this.#weigh(oldest);
    }
  }

  list(): T[] {
    return [...this.#items];
  }
}
