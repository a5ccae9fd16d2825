/** Events that had to go, counted until a gap event tells the collector of them. */
import type { NewAgentEvent } from '@relight/shared/event';
import type { Dropped } from './shed.ts';

export class Losses {
  /** Not told yet. */
  #untold = 0;
  /** Since this was made. */
  #dropped = 0;

  get dropped(): number {
    return this.#dropped;
  }

  get untold(): number {
    return this.#untold;
  }

  add({ dropped, anew }: Dropped): void {
    this.#untold += dropped;
    this.#dropped += anew;
  }

  /** Nobody takes it any more. */
  refused(): void {
    this.#untold += 1;
  }

  /** Null: nothing is lost, or it is told. `at`: epoch milliseconds. */
  take(reason: string, why: string, at: number): NewAgentEvent | null {
    const events = this.#untold;
    this.#untold = 0;
    if (events === 0) return null;
    const message = `${events} events of this host are lost: ${why}`;
    return { at, kind: 'log.gap', severity: 'warning', message, data: { reason, events } };
  }
}
