/**
 * When an agent is told how far its clock is off: with its first heartbeat, when that has changed, and now and then, so that it knows how old
 * the word is. Pure.
 */
import { clockSkewMsMax } from '@relight/shared/protocol';

export interface SkewTold {
  readonly skewMs: number;
  /** Monotonic, in milliseconds. */
  readonly at: number;
}

/** A fleet of 10,000 hosts gets 170 short messages a second. */
const againMs = 60_000;
const changedByMs = 1_000;
/** Whatever an agent says that its time is, and however often. */
const apartMs = 5_000;

/** Null: it knows. `agentAt`: the agent's stamp, `now`: the collector's receipt, both in epoch milliseconds. */
export function skewToTell(told: SkewTold | null, agentAt: number, now: number, nowMono: number): SkewTold | null {
  const skewMs = Math.max(-clockSkewMsMax, Math.min(clockSkewMsMax, Math.round(agentAt - now)));
  const worth =
    told === null || nowMono - told.at >= againMs || (nowMono - told.at >= apartMs && Math.abs(skewMs - told.skewMs) >= changedByMs);
  return worth ? { skewMs, at: nowMono } : null;
}
