/**
 * Who may speak for a host. Pure. Identity is the agent's persisted id, bound to its machine; never an address.
 *
 * - The same id from the same machine: a newer connection, it wins.
 * - The same id from another machine while the first is alive: a clone (a copied disk), refused. When the first is silent, the
 *   machine was replaced: accepted.
 * - Another id under a known name: the host was set up anew, it wins and the old id is locked out, or both would fight.
 */
import { closeCodes, type Hello } from '@relight/shared/protocol';

export interface Standing {
  readonly agentId: string | null;
  readonly machineId: string | null;
  /** Connected, and not silent. */
  readonly alive: boolean;
}

export interface ClaimFacts {
  /** The host that the token is bound to. */
  readonly tokenHost: string | null;
  readonly fenced: boolean;
  /** The host of the same name. */
  readonly sameName: Standing | null;
  /** The host, of whatever name, whose agent has the same id. */
  readonly sameAgent: Standing | null;
}

export type Verdict =
  | { readonly accepted: true; readonly fences: string | null }
  | { readonly accepted: false; readonly code: number; readonly reason: string; readonly notice?: string };

export function judgeClaim(hello: Pick<Hello, 'agentId' | 'machineId' | 'host'>, facts: ClaimFacts): Verdict {
  const { agentId, machineId, host } = hello;
  if (facts.tokenHost !== null && facts.tokenHost !== host) {
    return { accepted: false, code: closeCodes.unauthorized, reason: `this token is for host ${facts.tokenHost}` };
  }
  if (facts.fenced) {
    return { accepted: false, code: closeCodes.superseded, reason: `another agent owns ${host} now; relight forget ${host} lifts this` };
  }
  const twin = facts.sameAgent;
  if (twin !== null && twin.alive && twin.machineId !== machineId) {
    const notice = `agent id ${agentId} is used by a second machine (a copied disk?): refused`;
    return { accepted: false, code: closeCodes.cloned, reason: 'another machine uses this agent id', notice };
  }
  const before = facts.sameName?.agentId ?? null;
  return { accepted: true, fences: before === null || before === agentId ? null : before };
}
