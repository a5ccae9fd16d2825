/** Who tails what: agents whose lines are wanted now flush them at once. */
import type { WatchSelector } from '../fleet.ts';
import type { Session, Watch } from './session.ts';

interface Told {
  readonly host: string | undefined;
  /** As it goes to agents, and as the text that tells it from others. */
  readonly selector: Watch[number];
  readonly text: string;
}

export class Watches {
  readonly #told = new Set<Told>();

  /** Each once. What has no room in a message is flushed as when nobody looks. */
  of(host: string): Watch {
    const watch = new Map<string, Watch[number]>();
    let bytes = 0;
    for (const { host: wanted, selector, text } of this.#told) {
      if ((wanted !== undefined && wanted !== host) || watch.has(text)) continue;
      const size = Buffer.byteLength(text) + 1;
      if (watch.size === watchMax || bytes + size > watchBytesMax) continue;
      bytes += size;
      watch.set(text, selector);
    }
    return [...watch.values()];
  }

  /** `sessions` is looked at on both ends: an agent that comes in between learns it from its welcome. */
  add({ host, workload, source }: WatchSelector, sessions: ReadonlySet<Session>): { dispose(): void } {
    const selector = { ...(workload === undefined ? {} : { workload }), ...(source === undefined ? {} : { source }) };
    const own: Told = { host, selector, text: JSON.stringify(selector) };
    const tell = (): void => {
      for (const session of sessions) {
        if (host === undefined || host === session.host) session.send({ type: 'watch', watch: [...this.of(session.host)] });
      }
    };
    this.#told.add(own);
    tell();
    return {
      dispose: () => {
        if (this.#told.delete(own)) tell();
      },
    };
  }
}

/** What a `watch` message may hold (protocol.ts). */
const watchMax = 1000;
/** Of a frame, which has room for 1 MiB: an agent to whom more is sent ends the connection, and again when it comes back. */
const watchBytesMax = 64 * 1024;
