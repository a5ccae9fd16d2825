/**
 * When to dial again. Full jitter: a fleet that lost its collector comes back spread out.
 * The count is reset only after a stable connection, because resetting it on open turns crash loops into storms. Pure.
 */
import { closeCodes } from '@relight/shared/protocol';
import type { Closing } from './socket.ts';

export type Ending =
  /** The attempt came to nothing. */
  | { readonly kind: 'failed' }
  /** A session that lived for `connectedMs` ended. */
  | { readonly kind: 'lost'; readonly connectedMs: number }
  /** 503 with Retry-After, or drain: not before `ms`. */
  | { readonly kind: 'told'; readonly ms: number }
  /** Only a person can change it: a refused token, another agent with this id, versions too far apart. */
  | { readonly kind: 'hopeless' };

export interface NextAttempt {
  /** Consecutive attempts without a stable connection. */
  readonly failures: number;
  readonly delayMs: number;
}

/** The very first connect after a start: people watch it. */
export const firstJitterMs = 250;
export const stableMs = 60_000;
const initialMs = 1_000;
const delayMsMax = 30_000;
const hopelessMs = 30_000;
const toldMsMax = 10 * 60_000;

/** `random` is in [0, 1). */
export function nextAttempt(failures: number, ending: Ending, random: number): NextAttempt {
  const jitter = (count: number): number => random * Math.min(delayMsMax, initialMs * 2 ** Math.min(count, 10));
  switch (ending.kind) {
    case 'failed':
      return { failures: failures + 1, delayMs: jitter(failures + 1) };
    case 'lost':
      return ending.connectedMs >= stableMs
        ? { failures: 0, delayMs: jitter(0) }
        : { failures: failures + 1, delayMs: jitter(failures + 1) };
    case 'told':
      return { failures, delayMs: Math.min(toldMsMax, ending.ms) + jitter(failures) };
    case 'hopeless':
      return { failures: failures + 1, delayMs: hopelessMs * (0.9 + 0.2 * random) };
  }
}

const hopelessCodes: ReadonlySet<number> = new Set([
  closeCodes.unauthorized,
  closeCodes.superseded,
  closeCodes.cloned,
  closeCodes.versionsApart,
]);

/** What the end of a connection means for the next attempt. `connectedMs` null: there was no welcome. */
export function endingOf(closing: Closing, connectedMs: number | null): Ending {
  if (closing.error === 'certificate-refused') return { kind: 'hopeless' };
  if (closing.status === 401 || closing.status === 403 || hopelessCodes.has(closing.code)) return { kind: 'hopeless' };
  if (closing.retryAfterMs !== undefined) return { kind: 'told', ms: closing.retryAfterMs };
  return connectedMs === null ? { kind: 'failed' } : { kind: 'lost', connectedMs };
}
