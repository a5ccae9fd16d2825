/**
 * Who may speak for a host. Pure. Identity is the agent's persisted id, bound to its machine; never an address.
 *
 * - A token that was given to one agent on one machine opens nothing for any other.
 * - The same id from the same machine: a newer connection, it wins.
 * - The same id from another machine while the first is alive: a clone (a copied disk), refused. When the first is silent, the
 *   machine was replaced: accepted.
 * - The same id under another name: the host was renamed, and its old name goes. Only the very machine can say so: else
 *   whoever may speak for one host could take the id of any other, and that one would be forgotten and locked out. And only when the
 *   old name is silent: a host has one name at a time, so both at once are two machines with one copied id. Refused, whoever came later,
 *   and also when the first is away for a while afterwards: or each reboot of the honest one would make the copy its successor.
 * - The same id, machine and name, but another boot or epoch: the host was rebooted, or its agent started again, it wins. Comes the
 *   former one back while its successor lives, they are two machines: a life that is over never returns. Refused.
 * - Another id under a known name: the host was set up anew, it wins and the old id is locked out, or both would fight.
 */
import { sameMachine, sharedMachineIdAdvice } from '@relight/shared/machine';
import { closeCodes, type Hello } from '@relight/shared/protocol';
import type { TokenRecord } from '../store/store.ts';

export interface Standing {
  readonly host: string;
  readonly agentId: string | null;
  readonly machineId: string | null;
  /** Connected, and not silent. */
  readonly alive: boolean;
  /** From where it is connected. */
  readonly address: string | null;
  /** Which lives (lifeOf) were taken over from while they were connected. */
  readonly displaced: ReadonlySet<string>;
  /** Under which other names agents with its id were refused while it was connected. */
  readonly copies: ReadonlySet<string>;
  readonly bootId: string | null;
}

const joinAnew =
  'Make a join token on the collector: relight-collector token create --kind join, and on this host relight-agent join with it.';

/** Hosts that are known come back, with whatever token; new ones with a token of their own. */
export const tooManyHosts = (max: number): Extract<Verdict, { accepted: false }> => ({
  accepted: false,
  code: closeCodes.unauthorized,
  reason: `the collector has ${max} hosts; another one comes with a token for itself alone: relight-agent join`,
  advice: joinAnew,
});

/** One life of an agent: of all that is the same in copies of a machine, boot and epoch are not. */
export const lifeOf = ({ bootId, epoch }: Pick<Hello, 'bootId' | 'epoch'>): string => `${bootId} ${epoch}`;

/** Another one took over from it. A boot that is over never returns either: an agent that was started again on it is no successor. */
function isOver({ bootId, displaced }: Standing, hello: Pick<Hello, 'bootId' | 'epoch'>): boolean {
  if (displaced.has(lifeOf(hello))) return true;
  return bootId !== hello.bootId && [...displaced].some((life) => life.startsWith(`${hello.bootId} `));
}

export interface ClaimFacts {
  /** What the token is bound to. */
  readonly token: Pick<TokenRecord, 'host' | 'agentId' | 'machineId'>;
  readonly fenced: boolean;
  /** The host of the same name. */
  readonly sameName: Standing | null;
  /** The host, of whatever name, whose agent has the same id. */
  readonly sameAgent: Standing | null;
}

export type Verdict =
  | { readonly accepted: true; readonly fences: string | null }
  | {
      readonly accepted: false;
      readonly code: number;
      readonly reason: string;
      /** What a person does on the host that was refused. */
      readonly advice: string;
      readonly notice?: Notice;
    };

/** For a person, among the events of the host that it is about. */
export interface Notice {
  readonly host: string;
  readonly message: string;
  /** It is connected, and another machine has its id. */
  readonly shared?: true;
}

export function judgeClaim(hello: Pick<Hello, 'agentId' | 'machineId' | 'host' | 'bootId' | 'epoch'>, facts: ClaimFacts): Verdict {
  const { agentId, machineId, host } = hello;
  const { token } = facts;
  if (token.host !== null && token.host !== host) {
    const message = `the token of ${token.host} was used as ${host}, by agent ${agentId} (stolen, or a copied disk?): refused`;
    const notice = { host: token.host, message };
    const advice = `Is this host called ${token.host}: set host.name in its configuration. Else it needs a token of its own. ${joinAnew}`;
    return { accepted: false, code: closeCodes.unauthorized, reason: `this token is for host ${token.host}`, advice, notice };
  }
  if (token.agentId !== null && token.machineId !== null && !sameMachine(token.machineId, machineId)) {
    const message = `the token of ${host} was used on another machine (stolen, or a copied disk?): refused`;
    return {
      accepted: false,
      code: closeCodes.unauthorized,
      reason: 'this token was given to another machine; join this one anew',
      advice: joinAnew,
      notice: { host, message },
    };
  }
  if (token.agentId !== null && token.agentId !== agentId) {
    const notice = { host, message: `the token of ${host} was used by another agent, ${agentId}: refused` };
    const reason = 'this token was given to another agent; join this one anew';
    return { accepted: false, code: closeCodes.unauthorized, reason, advice: joinAnew, notice };
  }
  if (facts.fenced) {
    const reason = `another agent owns ${host} now; relight forget ${host} lifts this`;
    const advice = `Is this the one that belongs to ${host}: stop the other one, then relight forget ${host}. Else give this host another host.name.`;
    return { accepted: false, code: closeCodes.superseded, reason, advice };
  }
  const twin = facts.sameAgent;
  if (twin !== null && twin.machineId !== machineId && (twin.alive || twin.host !== host)) {
    const elsewhere = twin.host === host ? '' : ` as ${host}`;
    const message = `agent id ${agentId} is used by a second machine${elsewhere} (a copied disk?): refused`;
    const lift = twin.alive ? '' : `; it is the one of ${twin.host}, and relight forget ${twin.host} lifts this`;
    const notice = { host: twin.host, message };
    const advice = `Is this a copy of ${twin.host}: stop this agent, remove its state directory, then start it. Is it the one that takes the place of ${twin.host}: stop the agent there, then relight forget ${twin.host}.`;
    return { accepted: false, code: closeCodes.cloned, reason: `another machine uses this agent id${lift}`, advice, notice };
  }
  if (twin !== null && twin.alive && (twin.host !== host || isOver(twin, hello))) {
    const reason = `same machine id (/etc/machine-id) as ${twin.host} at ${twin.address}, which is connected`;
    const message = `${host} has the same machine id (/etc/machine-id): refused`;
    const advice = `Either may be the copy: relight host ${twin.host} shows both, and what ends it. ${sharedMachineIdAdvice}`;
    return { accepted: false, code: closeCodes.cloned, reason, advice, notice: { host: twin.host, message, shared: true } };
  }
  // One boot is one machine: it was refused beside its own connection under the old name, which had not ended yet.
  if (twin !== null && twin.host !== host && twin.copies.has(host) && twin.bootId !== hello.bootId) {
    const reason = `same machine id as ${twin.host}, and seen beside it; if that is its former name: relight forget ${twin.host}`;
    const message = `${host} has the same machine id (/etc/machine-id), and was seen beside it: refused`;
    const advice = `Is this ${twin.host} under a new name: relight forget ${twin.host}. ${sharedMachineIdAdvice}`;
    return { accepted: false, code: closeCodes.cloned, reason, advice, notice: { host: twin.host, message } };
  }
  const before = facts.sameName?.agentId ?? null;
  return { accepted: true, fences: before === null || before === agentId ? null : before };
}
