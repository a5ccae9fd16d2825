/** Who is let in, on every way in: API, agents' WebSockets, and joining. What is refused is told alike everywhere. */
import type { Clock } from '@relight/shared/clock';
import { agentTokenAdvice, RelightError } from '@relight/shared/errors';
import type { IncomingMessage } from 'node:http';
import type { Store, TokenKind, TokenRecord } from '../store/store.ts';
import { ClientAddresses } from './client-address.ts';
import { Failures } from './failures.ts';

export interface Visitor {
  readonly token: TokenRecord;
  readonly address: string;
}

export interface Refused {
  readonly error: RelightError;
  readonly address: string;
  /** Whose token it was, where that is known. */
  readonly token: TokenRecord | null;
  /** Seconds; this address fails so often that it is not listened to for so long. */
  readonly retryAfter?: number;
}

export interface DoorkeeperDeps {
  readonly store: Pick<Store, 'checkToken' | 'refusedToken'>;
  readonly clock: Clock;
  readonly trustedProxies: readonly string[];
}

type Request = Pick<IncomingMessage, 'headers' | 'socket'>;

export class Doorkeeper {
  readonly #store: DoorkeeperDeps['store'];
  readonly #addresses: ClientAddresses;
  readonly #failures: Failures;

  constructor({ store, clock, trustedProxies }: DoorkeeperDeps) {
    this.#store = store;
    this.#addresses = new ClientAddresses(trustedProxies);
    this.#failures = new Failures(clock);
  }

  /** @param kind what this way in is for */
  admit(request: Request, kind: TokenKind): Visitor | Refused {
    const address = this.#addresses.of(request);
    const text = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    const token = text === undefined ? null : this.#store.checkToken(text);
    if (token !== null && token.kind === kind) return { token, address };
    if (token !== null) {
      const error = new RelightError('forbidden', `this is ${token.kind === 'join' ? 'a' : 'an'} ${token.kind} token`, {
        advice: advices[kind],
      });
      return { error, address, token };
    }
    // Whoever holds a token that was valid once may know what became of it.
    const known = text === undefined ? null : this.#store.refusedToken(text);
    if (known !== null)
      return { error: new RelightError('unauthorized', known.reason, { advice: advices[kind] }), address, token: known.token };
    if (!this.#failures.failed(address)) {
      const error = new RelightError('too-many-failures', `too many requests from ${address} were refused`);
      return { error, address, token: null, retryAfter: this.#failures.retryAfterS(address) };
    }
    const detail = text === undefined ? 'the request has no Authorization: Bearer TOKEN' : 'the token is unknown or revoked';
    return { error: new RelightError('unauthorized', detail, { advice: advices[kind] }), address, token: null };
  }
}

const advices: Readonly<Record<TokenKind, string>> = {
  agent: agentTokenAdvice,
  operator: 'Give an operator token: relight-collector token create --kind operator.',
  join: 'Make a new join token on the collector: relight-collector token create --kind join.',
};
