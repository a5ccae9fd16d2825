/**
 * machine-id-shared: another machine says that it is this host's agent, with the same machine id, while this one is connected: an image was
 * copied with `/etc/machine-id` in it. Decided here, because only here both are seen. Pure.
 */
import { sharedMachineIdAdvice } from '@relight/shared/machine';
import type { HostCondition } from '@relight/shared/status';

export const sharedIdentityName = 'machine-id-shared';

export interface Contender {
  /** How it calls itself. */
  readonly host: string;
  readonly address: string;
  /** Epoch milliseconds: since when it tries. */
  readonly since: number;
  /** On the monotonic clock: when it last tried. */
  readonly lastMono: number;
}

/** An agent that is refused dials again after half a minute: one that has not for so long is mended or gone. */
export const contestMs = 3 * 60_000;

/** One more try. */
export function contend(before: Contender | null, who: Pick<Contender, 'host' | 'address'>, now: number, nowMono: number): Contender {
  return { ...who, since: isCurrent(before, nowMono) ? before.since : now, lastMono: nowMono };
}

/** Of the host `name`, which is connected from `address`. */
export function contested(
  { name, address }: { readonly name: string; readonly address: string },
  contender: Contender | null,
  nowMono: number,
): readonly HostCondition[] {
  if (!isCurrent(contender, nowMono)) return [];
  const { host, since } = contender;
  const reason = `${host} at ${contender.address} has the same machine id (/etc/machine-id) as ${name} at ${address}, and is refused`;
  return [{ name: sharedIdentityName, subject: '', severity: 'error', since, reason, advice: sharedMachineIdAdvice }];
}

const isCurrent = (contender: Contender | null, nowMono: number): contender is Contender =>
  contender !== null && nowMono - contender.lastMono < contestMs;
