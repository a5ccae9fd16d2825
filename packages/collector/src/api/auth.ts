/**
 * Who may ask: operators with a role, by `Authorization: Bearer TOKEN`. Only `/healthz` answers without. Everything that changes
 * something is written down, and so is what somebody was refused whose token is known.
 */
import { RelightError, toRelightError } from '@relight/shared/errors';
import { joinPath, renewPath } from '@relight/shared/join';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Doorkeeper, Visitor } from '../access/doorkeeper.ts';
import type { Revocations } from '../access/revocations.ts';
import { roles, type AuditEntry, type Role, type Store, type TokenKind } from '../store/store.ts';
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
  readonly revocations?: Revocations;
}

export function registerAuth(app: FastifyInstance, deps: AuthDeps): void {
  const { doorkeeper, revocations } = deps;
  app.decorateRequest('visitor', null);
  app.decorateRequest('deed', null);
  app.addHook('onRequest', async (request, reply) => {
    const path = request.routeOptions.url;
    if (path === publicPath) return;
    const admitted = doorkeeper.admit(request.raw, entrances[path ?? ''] ?? 'operator');
    if ('error' in admitted) {
      if (admitted.retryAfter !== undefined) void reply.header('retry-after', String(admitted.retryAfter));
      if (admitted.token !== null && admitted.listened) {
        await audit(deps, request, { ...admitted, token: admitted.token }, 'refused', admitted.error.message);
      }
      throw admitted.error;
    }
    request.visitor = admitted;
    const needed = request.routeOptions.config.role ?? 'view';
    if (admitted.token.kind === 'operator' && !allows(admitted.token.role, needed)) {
      await audit(deps, request, admitted, 'refused', `needs the role ${needed}`);
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
export async function audited<T>(deps: Pick<AuthDeps, 'store' | 'clock'>, request: FastifyRequest, act: () => Promise<T>): Promise<T> {
  const { visitor } = request;
  let answer: T;
  try {
    answer = await act();
  } catch (thrown) {
    if (visitor !== null) await audit(deps, request, visitor, 'failed', toRelightError(thrown).message);
    throw thrown;
  }
  if (request.deed !== null && visitor !== null) await audit(deps, request, visitor, 'done');
  return answer;
}

async function audit(
  { store, clock }: Pick<AuthDeps, 'store' | 'clock'>,
  request: FastifyRequest,
  { token, address }: Visitor,
  outcome: AuditEntry['outcome'],
  reason?: string,
): Promise<void> {
  const path = request.url.replace(/\?.*$/s, '').slice(0, pathCharactersMax);
  const { action, target, detail = {} } = request.deed ?? { action: `${request.method} ${path}`, target: null };
  const { id: actor, name, role } = token;
  const more = reason === undefined ? detail : { ...detail, reason };
  await store.appendAudit({ at: clock.now(), action, outcome, target, actor, name, role, address, detail: more });
}

const pathCharactersMax = 200;
