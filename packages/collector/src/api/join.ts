/** Agents that come for a token of their own (shared/join.ts). */
import { RelightError } from '@relight/shared/errors';
import { joinPath, joinRequestSchema, renewPath, type AgentCredential } from '@relight/shared/join';
import { sharedMachineIdAdvice } from '@relight/shared/machine';
import type { Clock } from '@relight/shared/clock';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Visitor } from '../access/doorkeeper.ts';
import type { RefusalBook } from '../access/refusal-book.ts';
import { TokenCounts } from '../access/token-counts.ts';
import type { LiveFleet } from '../ingest/live-fleet.ts';
import type { SqliteStore, TokenGrant } from '../store/sqlite-store.ts';
import { freshToken } from '../store/token-store.ts';
import { audited } from './auth.ts';
import { parseBody } from './validate.ts';

export interface JoinDeps {
  readonly store: Pick<SqliteStore, 'grantAgentToken' | 'renewAgentToken' | 'appendAudit'>;
  readonly clock: Clock;
  readonly refusals: RefusalBook;
  readonly fleet: Pick<LiveFleet, 'twinOf'>;
}

/** Of one host, from one address, and from all. An agent renews once, and again only where the answer was lost; each time is a token and an entry of the audit log. */
const renewalsMax = 30;
const renewalsInAllMax = 100;
const renewalsWindowMs = 600_000;

/** Before `registerApi`'s routes are closed, after its hooks are there. */
export function registerJoin(app: FastifyInstance, deps: JoinDeps): void {
  const { store, clock, fleet } = deps;
  const renewals = new TokenCounts(clock, { max: renewalsMax, inAllMax: renewalsInAllMax, windowMs: renewalsWindowMs });
  app.post(joinPath, async (request, reply) => {
    const { token, address } = visitorOf(request);
    const credential = await audited(deps, request, async (): Promise<AgentCredential> => {
      const agent = parseBody(joinRequestSchema, request.body);
      const { host, agentId } = agent;
      request.deed = { action: 'agent.join', target: host, detail: { agentId } };
      // Before a use of the token is spent. From its own address a host may join under its new name while its agent still has the old one.
      // The very address, not the /64 around it: a copy often stands beside the first one. Where a host has several, the advice is the way.
      const twin = fleet.twinOf(agent);
      if (twin !== null && twin.address !== address)
        throw new RelightError(
          'conflict',
          `this host has the same machine id (/etc/machine-id) as ${twin.host} at ${twin.address}, which is connected`,
          {
            advice: `${sharedMachineIdAdvice} If this is ${twin.host} under a new name: stop its agent, then join.`,
          },
        );
      const fresh = freshToken('agent');
      const { expiresAt } = granted(
        await store.grantAgentToken(token.id, fresh, agent),
        'Make a new join token on the collector: relight-collector token create --kind join.',
      );
      request.deed = { action: 'agent.join', target: host, detail: { agentId, token: fresh.id } };
      return { token: fresh.token, tokenId: fresh.id, host, issuedAt: clock.now(), expiresAt };
    });
    return reply.code(201).send(credential);
  });
  app.post(renewPath, async (request, reply) => {
    const { token, address } = visitorOf(request);
    const credential = await audited(deps, request, async (): Promise<AgentCredential> => {
      const agent = parseBody(joinRequestSchema, request.body);
      const { host, agentId } = agent;
      request.deed = { action: 'agent.renew', target: token.host, detail: { agentId } };
      // By host: each renewal is another token.
      if (!renewals.count(address, token, token.host ?? token.id).listened)
        throw new RelightError('too-many-failures', `the token ${token.id} is renewed over and over`, {
          advice: 'An agent does that once in many days: look what else has this token, and revoke it.',
        });
      const fresh = freshToken('agent');
      const { expiresAt } = granted(await store.renewAgentToken(token.id, fresh, agent), 'Join anew: relight-agent join.');
      request.deed = { action: 'agent.renew', target: token.host, detail: { agentId, token: fresh.id } };
      return { token: fresh.token, tokenId: fresh.id, host, issuedAt: clock.now(), expiresAt };
    });
    return reply.code(201).send(credential);
  });
}

function granted(grant: TokenGrant, advice: string): { readonly expiresAt: number } {
  if ('refused' in grant) throw new RelightError('unauthorized', grant.refused, { advice });
  return grant;
}

function visitorOf(request: FastifyRequest): Visitor {
  if (request.visitor === null) throw new RelightError('unauthorized', 'the request has no Authorization: Bearer TOKEN');
  return request.visitor;
}
