/**
 * machine-id-shared: another machine says that it is this host's agent, with the same machine id, while this one is connected: an image was
 * copied with `/etc/machine-id` in it. Decided here, because only here both are seen. Pure.
 */
import { isoTime } from '@relight/shared/api';
import { sharedMachineIdAdvice } from '@relight/shared/machine';
import type { HostCondition } from '@relight/shared/status';

export const sharedIdentityName = 'machine-id-shared';

/** One of two that say that they are the same agent. */
export interface Rival {
  /** How it calls itself. */
  readonly host: string;
  readonly address: string;
  readonly bootId: string;
}

export interface Contender extends Rival {
  /** Epoch milliseconds: since when it tries. */
  readonly since: number;
  /** On the monotonic clock: when it last tried. */
  readonly lastMono: number;
}

/** The one that is connected. */
export interface Holder extends Rival {
  /** Epoch milliseconds: since when. */
  readonly since: number;
  readonly tokenId: string;
  /** The token is for one host or agent. Else others may use it, too. */
  readonly tokenIsOwn: boolean;
}

/** An agent that is refused dials again after half a minute: one that has not for so long is mended or gone. */
export const contestMs = 3 * 60_000;

/** One more try. */
export function contend(before: Contender | null, { host, address, bootId }: Rival, now: number, nowMono: number): Contender {
  return { host, address, bootId, since: isCurrent(before, nowMono) ? before.since : now, lastMono: nowMono };
}

export function contested(holder: Holder, contender: Contender | null, nowMono: number): readonly HostCondition[] {
  if (!isCurrent(contender, nowMono)) return [];
  const { host, since, address } = contender;
  const reason = `${host} at ${address} has the same machine id (/etc/machine-id) as ${holder.host} at ${holder.address}, and is refused`;
  return [{ name: sharedIdentityName, subject: '', severity: 'error', since, reason, advice: adviceOn(holder, contender) }];
}

/** Whoever came first is connected, and that may be the copy, or somebody who has stolen what the host knows itself by. */
function adviceOn(holder: Holder, contender: Contender): string {
  const { tokenId, tokenIsOwn, host, since } = holder;
  const lift = contender.host === host ? '' : `, relight forget ${host}`;
  const revoke = `relight-collector token revoke ${tokenId}`;
  const sendAway = tokenIsOwn
    ? `${revoke} sends it away`
    : `${revoke} sends it away, and locks out every other agent that uses this token, which is for any host: first give each of those its own (relight-collector token create --kind join, and relight-agent join there)`;
  return [
    'Either may be the copy.',
    `Connected: ${host} at ${holder.address}, boot ${holder.bootId}, since ${isoTime(since)}, with the token ${tokenId}.`,
    `Refused: ${contender.host} at ${contender.address}, boot ${contender.bootId}, since ${isoTime(contender.since)}.`,
    'cat /proc/sys/kernel/random/boot_id says on a machine which of them it is.',
    `Is it the connected one, or stolen: ${sendAway}; then${lift === '' ? '' : ` stop its agent${lift},`} relight-agent join on the other one.`,
    sharedMachineIdAdvice,
  ].join(' ');
}

const isCurrent = (contender: Contender | null, nowMono: number): contender is Contender =>
  contender !== null && nowMono - contender.lastMono < contestMs;

/** Under which name an agent with the id of another host was refused beside it, and when that was last: epoch milliseconds. */
export interface SeenCopy {
  readonly host: string;
  readonly at: number;
}

/** A copy tries twice a minute as long as it runs. One that was not seen for a month has become another machine, or is none any more. */
export const copyKeptMs = 30 * 86_400_000;
/** Of one host. */
const copiesMax = 16;

/** The one that was seen last stands last. */
export function rememberCopy(before: readonly SeenCopy[], host: string, now: number): readonly SeenCopy[] {
  return [...current(before, now).filter((copy) => copy.host !== host), { host, at: now }].slice(-copiesMax);
}

export const copyNames = (copies: readonly SeenCopy[], now: number): ReadonlySet<string> =>
  new Set(current(copies, now).map(({ host }) => host));

const current = (copies: readonly SeenCopy[], now: number): readonly SeenCopy[] => copies.filter(({ at }) => now - at < copyKeptMs);
