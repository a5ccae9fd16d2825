/**
 * over-allowance: this host sends more of what only its age removes than it may have stored (ingest/allowances.ts), and what it
 * reports comes late. Either something on it fails in a tight loop, or somebody else speaks for it. Decided here, because its
 * agent only sees that it has to wait. Pure.
 */
import type { HostCondition } from '@relight/shared/status';

export const overAllowanceName = 'over-allowance';

/** Of a host that had to wait. */
export interface HeldBack {
  /** Epoch milliseconds: since when. */
  readonly since: number;
  /** On the monotonic clock: when it last had to. */
  readonly lastMono: number;
}

/**
 * A host that goes on like that is taken as fast as its allowance grows, and waits again and again: it is over when nothing had
 * to wait for so long. Therefore whoever floods is told of twice in this time at most, whatever he sends.
 */
export const heldBackMs = 10 * 60_000;

export const isHeldBack = (held: HeldBack | undefined, nowMono: number): held is HeldBack =>
  held !== undefined && nowMono - held.lastMono < heldBackMs;

export const overAllowance = ({ since }: HeldBack): HostCondition => ({
  name: overAllowanceName,
  subject: '',
  severity: 'warning',
  since,
  reason: 'it sends more events, incidents or beginnings of logs than any honest host; what is more waits on it',
  advice: [
    'relight events --host HOST shows what repeats: mend that.',
    'If nothing on it explains it, somebody else may speak for it: relight-collector token list, and token revoke ID.',
  ].join(' '),
});
