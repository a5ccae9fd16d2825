/** Agents whose connection was ended because they did not read: counted, and told of in the log once for a host and time. */
import type { Clock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { formatBytes } from '@relight/shared/units';
import { unreadMax } from './agent-socket.ts';
import { Buckets } from './buckets.ts';
import type { IngestCounters } from './counters.ts';

const often = { atOnce: 1, perSecond: 1 / 600 };

export interface UnreadTellingDeps {
  readonly clock: Clock;
  readonly counters: Pick<IngestCounters, 'unread'>;
  readonly warn: (message: string, error: RelightError) => void;
}

export class UnreadTelling {
  readonly #deps: UnreadTellingDeps;
  readonly #buckets: Buckets;

  constructor(deps: UnreadTellingDeps) {
    this.#deps = deps;
    this.#buckets = new Buckets(often, deps.clock);
  }

  /** @param host empty before its hello. The answer: why it ended, for the host's state. */
  ended(host: string, address: string): string {
    const { counters, warn } = this.#deps;
    const reason = `its agent did not read what it was sent, until ${formatBytes(unreadMax)} waited`;
    counters.unread();
    const message = `the connection of ${host === '' ? 'an agent' : host} at ${address} was ended: ${reason}`;
    if (this.#buckets.take(host)) warn(message, new RelightError('overloaded', message));
    return reason;
  }

  /** Called now and then. */
  forget(): void {
    this.#buckets.forget();
  }
}
