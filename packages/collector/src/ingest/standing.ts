/** What a host that is known stands for when somebody says that he is its agent. */
import type { Clock } from '@relight/shared/clock';
import type { Hello } from '@relight/shared/protocol';
import { contend, copyNames, rememberCopy, type Rival } from '../liveness/shared-identity.ts';
import type { TokenRecord } from '../store/store.ts';
import type { HostBook, HostEntry } from './host-book.ts';
import { judgeClaim, tooManyHosts, type Standing, type Verdict } from './identity.ts';

/** `now`: epoch milliseconds. */
export function standing(entry: HostEntry, now: number): Standing {
  const { name, agentId, machineId, bootId } = entry.record;
  const { session, displaced } = entry;
  const copies = copyNames(entry.record.copies ?? [], now);
  return { host: name, agentId, machineId, bootId, alive: isAlive(entry), address: session?.address ?? null, displaced, copies };
}

const isAlive = ({ session, live }: HostEntry): boolean => session !== null && live.state === 'connected';
/** Lives, or agents, of one host. */
export const rememberedMax = 16;

/** `life` (identity.ts) takes over: whoever was alive until then, and another one, is not to come back beside it. */
export function displace(entry: HostEntry, life: string): void {
  const { session, displaced } = entry;
  // It was let in, so it is not over: its next connection would be refused else, as a copy beside its own former one.
  displaced.delete(life);
  if (session === null || session.life === life || !isAlive(entry)) return;
  remember(displaced, session.life);
}

/**
 * This agent may no longer speak for the host, or has come again although it may not. Of more than so many the one that has not come for
 * longest is forgotten: as long as it comes, sixteen others would have to be locked out between two of its tries. What a forgotten one
 * can do then is what whoever has such a token can anyway, to take the name over, and an event tells of it.
 */
export function fence({ fenced }: Pick<HostEntry, 'fenced'>, agentId: string): void {
  remember(fenced, agentId);
}

function remember(among: Set<string>, one: string): void {
  among.delete(one);
  among.add(one);
  for (const oldest of among) {
    if (among.size <= rememberedMax) return;
    among.delete(oldest);
  }
}

/**
 * Somebody was refused who has the machine id of this host. That is stored: whoever comes first after a restart of the collector would
 * be taken for it else, and under another name for it under a new one, which ends the host.
 */
export function contendWith(book: Pick<HostBook, 'changed'>, entry: HostEntry, who: Rival, clock: Pick<Clock, 'now' | 'monotonic'>): void {
  const { name, copies = [] } = entry.record;
  const { host, address } = who;
  if (host !== name) {
    entry.record = { ...entry.record, copies: rememberCopy(copies, host, clock.now()) };
    // It tries twice a minute: only that it is there is written at once.
    book.changed(entry, !copies.some((copy) => copy.host === host));
  }
  entry.contender = contend(entry.contender, who, clock.now(), clock.monotonic());
  entry.session?.send({ type: 'machine-id-shared', host, address });
}

/** A host as which, and an address from where, an agent is connected. */
export interface Twin {
  readonly host: string;
  readonly address: string;
}

/** As which other host this agent of this machine is connected at this moment. */
export function twinAmong(
  book: Pick<HostBook, 'ofAgent'>,
  { agentId, machineId, host }: Pick<Hello, 'agentId' | 'machineId' | 'host'>,
  now: number,
): Twin | null {
  const entry = book.ofAgent(agentId);
  const twin = entry === undefined ? null : standing(entry, now);
  if (twin === null || !twin.alive || twin.address === null || twin.host === host || twin.machineId !== machineId) return null;
  return { host: twin.host, address: twin.address };
}

export interface ClaimLimits {
  readonly hostsMax: number;
  /** Epoch milliseconds. */
  readonly now: number;
}

export function judgeAmong(
  book: Pick<HostBook, 'get' | 'ofAgent' | 'size'>,
  { hostsMax, now }: ClaimLimits,
  token: TokenRecord,
  hello: Parameters<typeof judgeClaim>[0],
): Verdict {
  const own = book.get(hello.host);
  const byId = book.ofAgent(hello.agentId);
  if (own === undefined && byId === undefined && token.host === null && book.size >= hostsMax) return tooManyHosts(hostsMax);
  return judgeClaim(hello, {
    token,
    fenced: own?.fenced.has(hello.agentId) === true,
    sameName: own === undefined ? null : standing(own, now),
    sameAgent: byId === undefined ? null : standing(byId, now),
  });
}

/** Who asks beside the agent of its own old name, which ends before the renamed one says hello, is no copy: one boot is one machine. */
export function unlessRenamed(book: Pick<HostBook, 'get'>, { bootId }: Pick<Hello, 'bootId'>, verdict: Verdict): Verdict {
  if (verdict.accepted || verdict.notice?.shared !== true) return verdict;
  return book.get(verdict.notice.host)?.record.bootId === bootId ? { accepted: true, fences: null } : verdict;
}
