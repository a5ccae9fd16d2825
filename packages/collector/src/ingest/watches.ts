/** Who tails what: agents whose lines are wanted now flush them at once. */
import type { WatchSelector } from '../fleet.ts';
import type { Session, Watch } from './session.ts';

export class Watches {
  readonly #selectors = new Set<WatchSelector>();

  of(host: string): Watch {
    const watch: { workload?: string; source?: string }[] = [];
    for (const { host: wanted, workload, source } of this.#selectors) {
      if (wanted === undefined || wanted === host) {
        watch.push({ ...(workload === undefined ? {} : { workload }), ...(source === undefined ? {} : { source }) });
      }
    }
    return watch.slice(0, watchMax);
  }

  /** `sessions` is looked at on both ends: an agent that comes in between learns it from its welcome. */
  add(selector: WatchSelector, sessions: ReadonlySet<Session>): { dispose(): void } {
    const own = { ...selector };
    const tell = (): void => {
      for (const session of sessions) {
        if (own.host === undefined || own.host === session.host) session.send({ type: 'watch', watch: [...this.of(session.host)] });
      }
    };
    this.#selectors.add(own);
    tell();
    return {
      dispose: () => {
        if (this.#selectors.delete(own)) tell();
      },
    };
  }
}

/** What a `watch` message may hold (protocol.ts). */
const watchMax = 1000;
