/**
 * Who may ask: operators with a role, by `Authorization: Bearer TOKEN`. Only `/healthz` answers without. Everything that changes
 * something is written down, and so is what somebody was refused whose token is known.
 */
import { RelightError, toRelightError } from '@relight/shared/errors';
import { joinPath, renewPath } from '@relight/shared/join';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Doorkeeper, Visitor } from '../access/doorkeeper.ts';
import type { RefusalBook } from '../access/refusal-book.ts';
import type { Revocations } from '../access/revocations.ts';
import { roles, type Role, type Store, type TokenKind } from '../store/store.ts';
import type { Deed } from '../access/deed.ts';
import type { Clock } from '@relight/shared/clock';

declare module 'fastify' {
  interface FastifyContextConfig {
    role?: Role;
  }
  interface FastifyRequest {
    /** Null on the one path that is open to everybody. */
    visitor: Visitor | null;
    deed: Deed | null;
  }
}

const publicPath = '/healthz';
const entrances: Readonly<Record<string, TokenKind>> = { [joinPath]: 'join', [renewPath]: 'agent' };

export interface AuthDeps {
  readonly store: Pick<Store, 'appendAudit'>;
  readonly clock: Clock;
  readonly doorkeeper: Doorkeeper;
  readonly refusals: RefusalBook;
  readonly revocations?: Revocations;
}

export function registerAuth(app: FastifyInstance, deps: AuthDeps): void {
  const { doorkeeper, refusals, revocations } = deps;
  app.decorateRequest('visitor', null);
  app.decorateRequest('deed', null);
  app.addHook('onRequest', async (request, reply) => {
    const path = request.routeOptions.url;
    if (path === publicPath) return;
    const admitted = doorkeeper.admit(request.raw, entrances[path ?? ''] ?? 'operator');
    if ('error' in admitted) {
      if (admitted.retryAfter !== undefined) void reply.header('retry-after', String(admitted.retryAfter));
      const { token, address, error } = admitted;
      if (token !== null) await refusals.write({ token, address }, deedOf(request), error.message);
      throw error;
    }
    request.visitor = admitted;
    const needed = request.routeOptions.config.role ?? 'view';
    if (admitted.token.kind === 'operator' && !allows(admitted.token.role, needed)) {
      await refusals.write(admitted, deedOf(request), `needs the role ${needed}`);
      throw new RelightError('forbidden', `this needs the role ${needed}; this token has the role ${admitted.token.role ?? 'view'}`, {
        advice: `Use a token with that role: relight-collector token create --kind operator --role ${needed}.`,
      });
    }
    const { socket } = request.raw;
    const held = revocations?.hold({ token: admitted.token, end: () => socket.destroy() });
    if (held !== undefined) reply.raw.once('close', () => held.dispose());
  });
}

const allows = (role: Role | null, needed: Role): boolean => roles.indexOf(role ?? 'view') >= roles.indexOf(needed);

/**
 * Runs what changes something, and writes down what became of it. `act` only returns what to answer: it is sent when the entry is on disk,
 * or a collector that is killed, or whose disk is full, has done what nobody ever reads of.
 */
export async function audited<T>(
  { store, clock, refusals }: Pick<AuthDeps, 'store' | 'clock' | 'refusals'>,
  request: FastifyRequest,
  act: () => Promise<T>,
): Promise<T> {
  const { visitor } = request;
  const write = async ({ token, address }: Visitor, outcome: 'done' | 'failed', reason?: string): Promise<void> => {
    const { action, target, detail = {} } = deedOf(request);
    const { id: actor, name, role } = token;
    const more = reason === undefined ? detail : { ...detail, reason };
    await store.appendAudit({ at: clock.now(), action, outcome, target, actor, name, role, address, detail: more });
  };
  let answer: T;
  try {
    answer = await act();
  } catch (thrown) {
    const { message } = toRelightError(thrown);
    // Operators may do what they try here. Whoever joins or renews may not until it has worked.
    if (visitor?.token.kind === 'operator') await write(visitor, 'failed', message);
    else if (visitor !== null) await refusals.write(visitor, deedOf(request), message, 'failed');
    throw thrown;
  }
  if (request.deed !== null && visitor !== null) await write(visitor, 'done');
  return answer;
}

const deedOf = (request: FastifyRequest): Deed =>
  request.deed ?? { action: `${request.method} ${request.url.replace(/\?.*$/s, '').slice(0, pathCharactersMax)}`, target: null };

const pathCharactersMax = 200;
