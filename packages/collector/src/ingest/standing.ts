/** What a host that is known stands for when somebody says that he is its agent. */
import type { Clock } from '@relight/shared/clock';
import type { Hello } from '@relight/shared/protocol';
import { contend } from '../liveness/shared-identity.ts';
import type { TokenRecord } from '../store/store.ts';
import type { HostBook, HostEntry } from './host-book.ts';
import { judgeClaim, tooManyHosts, type Standing, type Verdict } from './identity.ts';

export function standing(entry: HostEntry): Standing {
  const { name, agentId, machineId, bootId } = entry.record;
  const { session, displaced, copies } = entry;
  return { host: name, agentId, machineId, bootId, alive: isAlive(entry), address: session?.address ?? null, displaced, copies };
}

const isAlive = ({ session, live }: HostEntry): boolean => session !== null && live.state === 'connected';
/** Of one host. */
const rememberedMax = 16;

/** `life` (identity.ts) takes over: whoever was alive until then, and another one, is not to come back beside it. */
export function displace(entry: HostEntry, life: string): void {
  const { session, displaced } = entry;
  if (session === null || session.life === life || !isAlive(entry)) return;
  remember(displaced, session.life);
}

function remember(among: Set<string>, one: string): void {
  among.delete(one);
  among.add(one);
  for (const oldest of among) {
    if (among.size <= rememberedMax) return;
    among.delete(oldest);
  }
}

/** Somebody was refused who has the machine id of this host. */
export function contendWith(entry: HostEntry, who: Twin, clock: Pick<Clock, 'now' | 'monotonic'>): void {
  if (who.host !== entry.record.name) remember(entry.copies, who.host);
  entry.contender = contend(entry.contender, who, clock.now(), clock.monotonic());
  entry.session?.send({ type: 'machine-id-shared', ...who });
}

export function byAgent(entries: Iterable<HostEntry>, agentId: string): HostEntry | undefined {
  for (const entry of entries) if (entry.session?.agentId === agentId || entry.record.agentId === agentId) return entry;
  return undefined;
}

/** A host as which, and an address from where, an agent is connected. */
export interface Twin {
  readonly host: string;
  readonly address: string;
}

/** As which other host this agent of this machine is connected at this moment. */
export function twinAmong(
  entries: Iterable<HostEntry>,
  { agentId, machineId, host }: Pick<Hello, 'agentId' | 'machineId' | 'host'>,
): Twin | null {
  const entry = byAgent(entries, agentId);
  const twin = entry === undefined ? null : standing(entry);
  if (twin === null || !twin.alive || twin.address === null || twin.host === host || twin.machineId !== machineId) return null;
  return { host: twin.host, address: twin.address };
}

export interface ClaimLimits {
  readonly hostsMax: number;
  /** Of `fenceKey`. */
  readonly fenced: ReadonlySet<string>;
}

export function judgeAmong(
  book: Pick<HostBook, 'get' | 'entries' | 'size'>,
  { hostsMax, fenced }: ClaimLimits,
  token: TokenRecord,
  hello: Parameters<typeof judgeClaim>[0],
): Verdict {
  const own = book.get(hello.host);
  const byId = byAgent(book.entries(), hello.agentId);
  if (own === undefined && byId === undefined && token.host === null && book.size >= hostsMax) return tooManyHosts(hostsMax);
  return judgeClaim(hello, {
    token,
    fenced: fenced.has(fenceKey(hello.host, hello.agentId)),
    sameName: own === undefined ? null : standing(own),
    sameAgent: byId === undefined ? null : standing(byId),
  });
}

/** Who asks beside the agent of its own old name, which ends before the renamed one says hello, is no copy: one boot is one machine. */
export function unlessRenamed(book: Pick<HostBook, 'get'>, { bootId }: Pick<Hello, 'bootId'>, verdict: Verdict): Verdict {
  if (verdict.accepted || verdict.notice?.shared !== true) return verdict;
  return book.get(verdict.notice.host)?.record.bootId === bootId ? { accepted: true, fences: null } : verdict;
}

export const fenceKey = (host: string, agentId: string): string => `${host}\n${agentId}`;
