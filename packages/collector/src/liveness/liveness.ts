/**
 * Heartbeats → host states. Pure. Time is the collector's monotonic clock, in milliseconds; wall clocks decide nothing here.
 *
 *   expected ─hello─▶ connected ─silent─▶ suspect ─silent─▶ dead          any of them ─hello─▶ connected
 *   unknown  ─hello─▶    │  ▲─────heard──────┴──────────────┘
 *      │                 ├─ closed, no goodbye ─▶ disconnected ─silent─▶ dead
 *      └─silent─▶ dead   ├─ goodbye, rebooting ─▶ rebooting ─boot grace─▶ dead or disconnected
 *                        └─ goodbye, stopped ───▶ stopped (for as long as it likes)
 *
 * Dead means silence, no more: the reason says for how long and what was last known. A host whose departure was announced
 * (`announced`: preemption, maintenance) is `stopped` or `rebooting` instead of disconnected or dead.
 */
import type { EventKind, Severity } from '@relight/shared/event';
import type { HostState } from '@relight/shared/phase';
import type { Announced } from './announced.ts';

export interface HostLiveness {
  readonly state: HostState;
  readonly reason: string;
  /** Since when it is silent: the last sign of life, or this process's start. */
  readonly silentSince: number;
  /** When the state `rebooting` ends by itself. */
  readonly bootDeadline: number | null;
}

export interface LivenessContext {
  readonly nowMono: number;
  readonly startedMono: number;
  readonly config: {
    readonly suspectAfterMs: number;
    readonly deadAfterMs: number;
    readonly restartGraceMs: number;
    readonly bootGraceMs: number;
  };
}

export type LivenessEvent =
  | { readonly type: 'hello'; readonly agent: string }
  /** Any frame of the agent. */
  | { readonly type: 'heard' }
  /** The connection is gone. `silence`: this side gave it up because nothing came any more. */
  | { readonly type: 'closed'; readonly why: string; readonly silence: boolean; readonly announced?: Announced | null }
  | { readonly type: 'goodbye'; readonly reason: 'stopped' | 'rebooting'; readonly announced?: Announced | null }
  /** A deadline may have passed. `lastKnown`: what the host last said of itself, for the reason. */
  | { readonly type: 'tick'; readonly lastKnown: string; readonly announced?: Announced | null }
  /** This process itself stood still for `byMs`: that was nobody's silence. */
  | { readonly type: 'stalled'; readonly byMs: number };

export interface LivenessChange {
  readonly kind: Extract<EventKind, `host.${string}` | `agent.${string}`>;
  readonly severity: Severity;
  readonly message: string;
}

export interface LivenessStep {
  readonly state: HostLiveness;
  readonly changes: readonly LivenessChange[];
  /** On the monotonic clock; null: nothing happens by time alone. */
  readonly nextDeadline: number | null;
}

/** What a stored host is when the collector starts: nobody has been heard yet, and only a goodbye is still believed. */
export function atStart(before: { readonly state: HostState; readonly reason: string }, ctx: LivenessContext): HostLiveness {
  const silentSince = ctx.nowMono;
  const kept = before.state === 'expected' || before.state === 'stopped' || before.state === 'rebooting';
  if (kept) {
    const bootDeadline = before.state === 'rebooting' ? ctx.nowMono + ctx.config.bootGraceMs : null;
    return { state: before.state, reason: before.reason, silentSince, bootDeadline };
  }
  const was = before.state === 'unknown' ? before.reason : `the collector started; before that: ${before.state} (${before.reason})`;
  return { state: 'unknown', reason: was, silentSince, bootDeadline: null };
}

export function newHost(state: 'expected' | 'unknown', reason: string, nowMono: number): HostLiveness {
  return { state, reason, silentSince: nowMono, bootDeadline: null };
}

export function transition(host: HostLiveness, event: LivenessEvent, ctx: LivenessContext): LivenessStep {
  switch (event.type) {
    case 'hello':
      return hello(host, event.agent, ctx);
    case 'heard':
      return heard(host, ctx);
    case 'closed':
      return closed(host, event, ctx);
    case 'goodbye':
      return goodbye(event.reason, event.announced?.reason, ctx);
    case 'tick':
      return tick(host, event, ctx);
    case 'stalled': {
      const bootDeadline = host.bootDeadline === null ? null : host.bootDeadline + event.byMs;
      // Never into the future: what was heard during the stall was heard now.
      return step({ ...host, silentSince: Math.min(ctx.nowMono, host.silentSince + event.byMs), bootDeadline }, [], ctx);
    }
  }
}

export function nextDeadline(host: HostLiveness, ctx: LivenessContext): number | null {
  switch (host.state) {
    case 'connected':
      return host.silentSince + ctx.config.suspectAfterMs;
    case 'suspect':
    case 'disconnected':
    case 'unknown':
      return deadAt(host, ctx);
    case 'rebooting':
      return host.bootDeadline;
    case 'expected':
    case 'stopped':
    case 'dead':
      return null;
  }
}

function deadAt(host: HostLiveness, { config, startedMono }: LivenessContext): number {
  return Math.max(host.silentSince + config.deadAfterMs, startedMono + config.restartGraceMs);
}

function step(state: HostLiveness, changes: readonly LivenessChange[], ctx: LivenessContext): LivenessStep {
  return { state, changes, nextDeadline: nextDeadline(state, ctx) };
}

const seconds = (ms: number): string => `${Math.floor(ms / 1000)} s`;

function alive(host: HostLiveness, nowMono: number, reason: string): HostLiveness {
  return { ...host, state: 'connected', reason, silentSince: nowMono, bootDeadline: null };
}

function recovered(host: HostLiveness, nowMono: number): LivenessChange[] {
  if (host.state !== 'suspect' && host.state !== 'dead') return [];
  const message = `heard again after ${seconds(nowMono - host.silentSince)} of silence`;
  return [{ kind: 'host.recovered', severity: 'info', message }];
}

function hello(host: HostLiveness, agent: string, ctx: LivenessContext): LivenessStep {
  const connected: LivenessChange = { kind: 'agent.connected', severity: 'info', message: `${agent} connected` };
  return step(alive(host, ctx.nowMono, connected.message), [connected, ...recovered(host, ctx.nowMono)], ctx);
}

function heard(host: HostLiveness, ctx: LivenessContext): LivenessStep {
  if (host.state === 'connected') return step({ ...host, silentSince: ctx.nowMono }, [], ctx);
  const changes = recovered(host, ctx.nowMono);
  // After a goodbye, or without a session, a late frame changes nothing: only a hello does.
  const reason = changes[0]?.message;
  return reason === undefined ? step(host, [], ctx) : step(alive(host, ctx.nowMono, reason), changes, ctx);
}

function closed(host: HostLiveness, event: Extract<LivenessEvent, { type: 'closed' }>, ctx: LivenessContext): LivenessStep {
  const was = host.state;
  if (was !== 'connected' && was !== 'suspect') return step(host, [], ctx);
  if (event.announced) return leave(event.announced.state, event.announced.reason, ctx);
  const change: LivenessChange = { kind: 'agent.disconnected', severity: 'warning', message: `disconnected: ${event.why}` };
  // Giving up a silent connection is no news about the host: it stays suspect until it is heard or dead.
  if (event.silence && was === 'suspect') return step(host, [change], ctx);
  return step({ ...host, state: 'disconnected', reason: event.why }, [change], ctx);
}

function goodbye(reason: 'stopped' | 'rebooting', announced: string | undefined, ctx: LivenessContext): LivenessStep {
  const said = reason === 'stopped' ? 'the agent was stopped' : 'the host goes down for a reboot';
  return leave(reason, announced === undefined ? said : `${said}; ${announced}`, ctx);
}

function leave(state: Announced['state'], reason: string, ctx: LivenessContext): LivenessStep {
  const bootDeadline = state === 'rebooting' ? ctx.nowMono + ctx.config.bootGraceMs : null;
  const change: LivenessChange = { kind: 'agent.disconnected', severity: 'info', message: reason };
  return step({ state, reason, silentSince: ctx.nowMono, bootDeadline }, [change], ctx);
}

function tick(host: HostLiveness, { lastKnown, announced }: Extract<LivenessEvent, { type: 'tick' }>, ctx: LivenessContext): LivenessStep {
  const due = nextDeadline(host, ctx);
  if (due === null || ctx.nowMono < due) return step(host, [], ctx);
  const silence = `silent for ${seconds(ctx.nowMono - host.silentSince)}; last known: ${lastKnown}`;
  const dead = deadAt(host, ctx) <= ctx.nowMono;
  if (host.state === 'rebooting') {
    const reason = `did not come back from its reboot: ${silence}`;
    if (dead)
      return step(
        { ...host, state: 'dead', reason, bootDeadline: null },
        [{ kind: 'host.dead', severity: 'critical', message: reason }],
        ctx,
      );
    return step({ ...host, state: 'disconnected', reason, bootDeadline: null }, [], ctx);
  }
  // A sweep that comes so late that both deadlines have passed still tells suspect first; the next one tells dead.
  if (host.state === 'connected') {
    return step({ ...host, state: 'suspect', reason: silence }, [{ kind: 'host.suspect', severity: 'warning', message: silence }], ctx);
  }
  if (announced) return leave(announced.state, `${announced.reason}; ${silence}`, ctx);
  return step({ ...host, state: 'dead', reason: silence }, [{ kind: 'host.dead', severity: 'critical', message: silence }], ctx);
}
