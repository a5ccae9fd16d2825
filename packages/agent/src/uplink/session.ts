/**
 * One connection to the collector as a state machine: (state, input) → (state, effects). Pure; what it decides is carried
 * out by connection.ts. Invariants: events leave in order and each number once per session; at most `inFlightMax` unacknowledged
 * messages per lane; nothing but hello before welcome.
 */
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import { inFlightMax, type Action, type CollectorMessage, type IncidentAck, type Welcome } from '@relight/shared/protocol';
import { ownProtocols, protocolsApart, type ProtocolRange } from '@relight/shared/protocol-version';
import type { Committed } from '../logs/log-lane.ts';

export interface Session {
  readonly phase: 'greeting' | 'live';
  /** Of the outbox when hello was sent; of this one the welcome tells how far the collector is. */
  readonly epoch: string;
  /** Of which events are sent now. */
  readonly sending: string;
  /** What hello has said that this side speaks. */
  readonly protocols: ProtocolRange;
  /** In `sending`. */
  readonly sentSeq: number;
  /** Last sequence of every unacknowledged events message. */
  readonly eventMessages: readonly number[];
  readonly logFrames: readonly { readonly segment: string; readonly to: number }[];
  /** Whether the collector takes incidents, and whether one is under way: never more than one. */
  readonly incidents: 'refused' | 'idle' | 'sent';
  /** What the collector last said; null: nothing. */
  readonly fleetSize: number | null;
  /** Where each segment was last rewound to, until it has gone beyond. */
  readonly rewound: Readonly<Record<string, number>>;
}

export type SessionInput =
  | { readonly kind: 'message'; readonly message: CollectorMessage }
  /** Everything of the epoch before is acknowledged; of this one, as far as `acknowledged`. */
  | { readonly kind: 'epoch'; readonly epoch: string; readonly acknowledged: number }
  | { readonly kind: 'events-sent'; readonly lastSeq: number }
  | { readonly kind: 'incident-sent' }
  | { readonly kind: 'log-sent'; readonly segment: SegmentKey; readonly to: number };

export type SessionEffect =
  | { readonly kind: 'welcomed'; readonly heartbeatMs: number; readonly sessionId: string; readonly committed: readonly Committed[] }
  | { readonly kind: 'acknowledge'; readonly epoch: string; readonly seq: number }
  | { readonly kind: 'log-committed'; readonly segment: SegmentKey; readonly offset: number; readonly rewind: boolean }
  | { readonly kind: 'incident-committed'; readonly ack: IncidentAck }
  | { readonly kind: 'watch'; readonly watch: Welcome['watch'] }
  | { readonly kind: 'fleet-size'; readonly size: number }
  | { readonly kind: 'clock-skew'; readonly skewMs: number }
  | { readonly kind: 'machine-id-shared'; readonly host: string; readonly address: string }
  | { readonly kind: 'act'; readonly action: Action }
  | { readonly kind: 'drain'; readonly reconnectAfterMs: number }
  | { readonly kind: 'versions-apart'; readonly reason: string }
  | { readonly kind: 'protocol-error'; readonly reason: string };

export interface SessionStep {
  readonly session: Session;
  readonly effects: readonly SessionEffect[];
}

export const greet = (epoch: string, protocols: ProtocolRange = ownProtocols): Session => ({
  phase: 'greeting',
  epoch,
  sending: epoch,
  protocols,
  sentSeq: 0,
  eventMessages: [],
  logFrames: [],
  incidents: 'refused',
  fleetSize: null,
  rewound: {},
});

export const maySendEvents = (session: Session): boolean => session.phase === 'live' && session.eventMessages.length < inFlightMax;
export const maySendLog = (session: Session): boolean => session.phase === 'live' && session.logFrames.length < inFlightMax;
export const maySendIncident = (session: Session): boolean => session.phase === 'live' && session.incidents === 'idle';

export function step(session: Session, input: SessionInput): SessionStep {
  switch (input.kind) {
    case 'epoch':
      return { session: { ...session, sending: input.epoch, sentSeq: input.acknowledged, eventMessages: [] }, effects: [] };
    case 'events-sent': {
      const eventMessages = [...session.eventMessages, input.lastSeq];
      return { session: { ...session, sentSeq: input.lastSeq, eventMessages }, effects: [] };
    }
    case 'incident-sent':
      return { session: { ...session, incidents: 'sent' }, effects: [] };
    case 'log-sent': {
      const logFrames = [...session.logFrames, { segment: segmentId(input.segment), to: input.to }];
      return { session: { ...session, logFrames }, effects: [] };
    }
    case 'message':
      return onMessage(session, input.message);
  }
}

function onMessage(session: Session, message: CollectorMessage): SessionStep {
  if (session.phase === 'greeting' && message.type !== 'welcome' && message.type !== 'drain') {
    return { session, effects: [{ kind: 'protocol-error', reason: `${message.type} before welcome` }] };
  }
  switch (message.type) {
    case 'welcome':
      return onWelcome(session, message);
    case 'ack':
      return onAck(session, message);
    case 'action':
      return { session, effects: [{ kind: 'act', action: message }] };
    case 'watch':
      return { session, effects: [{ kind: 'watch', watch: message.watch }] };
    case 'clock':
      return { session, effects: message.skewMs === null ? [] : [{ kind: 'clock-skew', skewMs: message.skewMs }] };
    case 'machine-id-shared':
      return { session, effects: [{ kind: 'machine-id-shared', host: message.host, address: message.address }] };
    case 'drain':
      return { session, effects: [{ kind: 'drain', reconnectAfterMs: message.reconnectAfterMs }] };
  }
}

/** Whether a welcome in `protocol` is none for this side; null: it is one. */
export function versionsApart({ protocols }: Session, protocol: number): Extract<SessionEffect, { kind: 'versions-apart' }> | null {
  // A collector that does not look at the oldest answers the lower of the two newest ones, whoever can speak it.
  if (protocol >= protocols.oldest && protocol <= protocols.newest) return null;
  return { kind: 'versions-apart', reason: protocolsApart(protocols, { oldest: protocol, newest: protocol }) };
}

function onWelcome(session: Session, welcome: Welcome): SessionStep {
  if (session.phase !== 'greeting') return { session, effects: [{ kind: 'protocol-error', reason: 'a second welcome' }] };
  const { protocol, heartbeatMs, sessionId, segments, watch, lastEventSeq, incidents, fleetSize } = welcome;
  const apart = versionsApart(session, protocol);
  if (apart !== null) return { session, effects: [apart] };
  return {
    session: {
      ...session,
      phase: 'live',
      sentSeq: lastEventSeq,
      incidents: incidents === true ? 'idle' : 'refused',
      fleetSize: fleetSize ?? null,
    },
    effects: [
      { kind: 'acknowledge', epoch: session.epoch, seq: lastEventSeq },
      { kind: 'welcomed', heartbeatMs, sessionId, committed: segments },
      { kind: 'watch', watch },
      ...(fleetSize === undefined ? [] : [{ kind: 'fleet-size' as const, size: fleetSize }]),
    ],
  };
}

function onAck(session: Session, ack: Extract<CollectorMessage, { type: 'ack' }>): SessionStep {
  const effects: SessionEffect[] = [];
  let next = session;
  if (ack.events !== undefined && ack.events.epoch === session.sending) {
    const { epoch, seq } = ack.events;
    // Of another epoch the welcome has told nothing: the collector may have had more of it before.
    if (seq > session.sentSeq && epoch === session.epoch)
      return { session, effects: [{ kind: 'protocol-error', reason: `event ${seq} was never sent` }] };
    const eventMessages = next.eventMessages.filter((last) => last > seq);
    next = { ...next, sentSeq: Math.max(next.sentSeq, seq), eventMessages };
    effects.push({ kind: 'acknowledge', epoch, seq });
  }
  if (ack.fleetSize !== undefined && ack.fleetSize !== next.fleetSize) {
    next = { ...next, fleetSize: ack.fleetSize };
    effects.push({ kind: 'fleet-size', size: ack.fleetSize });
  }
  if (ack.incident !== undefined && next.incidents === 'sent') {
    next = { ...next, incidents: 'idle' };
    effects.push({ kind: 'incident-committed', ack: ack.incident });
  }
  for (const { segment, offset, rewind } of ack.segments) {
    const id = segmentId(segment);
    // Every frame that was under way behind a refused one is refused too, with the same offset. Only the first of these
    // answers may have an effect, or each would start the sending anew. A frame that begins at `offset` is never refused.
    if (rewind && next.rewound[id] === offset) continue;
    const { [id]: before, ...others } = next.rewound;
    const rewound = rewind ? { ...others, [id]: offset } : before === undefined || offset > before ? others : next.rewound;
    const logFrames = next.logFrames.filter((frame) => frame.segment !== id || (!rewind && frame.to > offset));
    next = { ...next, rewound, logFrames };
    effects.push({ kind: 'log-committed', segment, offset, rewind });
  }
  return { session: next, effects };
}
