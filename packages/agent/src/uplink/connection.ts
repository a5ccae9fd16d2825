/**
 * One connection to the collector, from the dial to its end: greets, sends events before logs, and reports health on a path
 * that neither can block. What it decides is in session.ts; this file owns the socket and the timers of its life.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { closeReason } from '@relight/shared/close-reason';
import { errorMessage } from '@relight/shared/errors';
import type { AgentEvent } from '@relight/shared/event';
import { encodeBlock } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import {
  closeCodes,
  collectorMessageSchema,
  eventsPerMessageMax,
  parseMessage,
  type Action,
  type AgentMessage,
  type CollectorMessage,
  type Hello,
  type SentAgentMessage,
  type SentHeartbeat,
} from '@relight/shared/protocol';
import { greetingIn, ownProtocols, type ProtocolRange } from '@relight/shared/protocol-version';
import type { CollectorSpec } from '../config/spec.ts';
import type { IncidentLane } from '../incidents/delivery.ts';
import type { LogLane } from '../logs/log-lane.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { endingOf, type Ending } from './backoff.ts';
import {
  greet,
  maySendEvents,
  maySendIncident,
  maySendLog,
  step,
  versionsApart,
  type Session,
  type SessionEffect,
  type SessionInput,
} from './session.ts';
import { handshakeMs, type Closing, type OpenSocket, type Socket } from './socket.ts';

export interface ConnectionOptions {
  readonly spec: CollectorSpec;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly outbox: Outbox;
  readonly logs: LogLane;
  readonly incidents: IncidentLane;
  readonly hello: () => Omit<Hello, 'type' | 'protocol' | 'protocolOldest' | 'epoch' | 'at' | 'lastEventSeq' | 'segments'>;
  readonly status: () => Omit<SentHeartbeat, 'type' | 'at'>;
  readonly openSocket: OpenSocket;
  readonly onWelcome: (sessionId: string) => void;
  readonly onAction: (action: Action) => void;
  readonly onFleetSize?: (size: number) => void;
  readonly onClockSkew: (skewMs: number) => void;
  readonly onMachineIdShared: (who: { readonly host: string; readonly address: string }) => void;
  /** Absent: what this version speaks. */
  readonly protocols?: ProtocolRange;
  /** Exactly once, unless the constructor throws. */
  readonly onEnd: (end: ConnectionEnd) => void;
}

export interface ConnectionEnd {
  readonly ending: Ending;
  /** For a person. */
  readonly reason: string;
  readonly closing: Closing;
  readonly welcomed: boolean;
}

const pingMs = 15_000;
const deadMs = 45_000;
const statusMs = 100;
/** Whatever a collector asks for: saying that it lives must not keep a machine busy. */
const heartbeatMsMin = 200;
const bufferedBytesMax = 1024 ** 2;
/** A heartbeat may be large, and only the latest counts: behind as much nobody needs one more. */
const bufferedWithBeatsMax = 4 * bufferedBytesMax;
const bufferedRetryMs = 20;
/** Raw JSON of the events of one message; frames stay below 256 KiB. */
const eventBytesMax = 192 * 1024;
const segmentsMax = 10_000;
/** Raw JSON of the segments of hello. The welcome says each once more, with an offset, and must be a frame as well. */
const segmentBytesMax = 512 * 1024;
const farewellMs = 2_000;
const closeMs = 500;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  #session: Session;
  /** Monotonic; null before welcome. */
  #liveAt: number | null = null;
  #heardAt: number;
  #ending: Ending | null = null;
  #trouble: string | null = null;
  /** The close has begun: nothing is sent or heard any more. */
  #leaving = false;
  #goodbye: 'stopped' | 'rebooting' | null = null;
  #heartbeatMs = 10_000;
  #heartbeatAt = -Infinity;
  #deadline: Timer;
  #heartbeat: Timer | null = null;
  #ping: Timer | null = null;
  #pumping: Timer | null = null;

  /** Dials. Throws what openSocket throws: a token that cannot be read. */
  constructor(options: ConnectionOptions) {
    const { clock, outbox, openSocket, spec } = options;
    this.#options = options;
    this.#session = greet(outbox.epoch);
    this.#heardAt = clock.monotonic();
    this.#socket = openSocket(spec, {
      opened: () => this.#hello(),
      alive: () => {
        this.#heardAt = clock.monotonic();
      },
      text: (text) => this.#receive(text),
      closed: (closing) => this.#closed(closing),
    });
    this.#deadline = clock.after(handshakeMs, () => this.#drop(`no welcome within ${handshakeMs / 1_000} s`));
  }

  get live(): boolean {
    return this.#session.phase === 'live';
  }

  /** What went wrong with it, as far as it is known before its end. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** The status of a workload has changed: a heartbeat follows at once, at most one per 100 ms. */
  statusChanged(): void {
    if (this.live) this.#scheduleHeartbeat(Math.max(0, this.#heartbeatAt + statusMs - this.#options.clock.monotonic()));
  }

  /** Without a session the answer is dropped; it is given again when the action is repeated. */
  answer(result: Extract<AgentMessage, { type: 'action-result' }>): void {
    if (this.live && !this.#leaving) this.#send(result);
  }

  /** Sends what is there for up to 2 s, says goodbye, closes. */
  finish(reason: 'stopped' | 'rebooting'): void {
    if (!this.live) return this.#socket.terminate();
    if (this.#leaving) return;
    this.#goodbye = reason;
    this.#options.logs.flush();
    this.#beat();
    this.#deadline = this.#options.clock.after(farewellMs, () => this.#farewell());
    this.pump();
  }

  /** Ends this one, and dials again at once. */
  comeBack(reason: string): void {
    if (!this.live || this.#leaving || this.#goodbye !== null) return;
    this.#ending = { kind: 'told', ms: 0 };
    this.#leave(closeCodes.goodbye, reason);
  }

  /** Log frames may be due. */
  pumpSoon(ms = 0): void {
    if (!this.live) return;
    this.#pumping ??= this.#options.clock.after(ms, () => {
      this.#pumping = null;
      this.pump();
    });
  }

  /** Events first, as many as may be under way; then one incident, one log frame, and a breath for everything else in this process. */
  pump(): void {
    if (!this.live || this.#leaving) return;
    const { outbox } = this.#options;
    this.#pumpEvents();
    this.#pumpIncident();
    if (this.#pumpLog() || this.#goodbye === null) return;
    const { sending, sentSeq, eventMessages, logFrames, incidents } = this.#session;
    if (
      sending === outbox.epoch &&
      sentSeq >= outbox.lastSeq &&
      eventMessages.length === 0 &&
      logFrames.length === 0 &&
      incidents !== 'sent'
    )
      this.#farewell();
  }

  #pumpEvents(): void {
    const { outbox } = this.#options;
    for (;;) {
      const { epoch, seq: acknowledged } = outbox.sending;
      if (epoch !== this.#session.sending) this.#apply({ kind: 'epoch', epoch, acknowledged });
      if (!maySendEvents(this.#session)) return;
      const events = bounded(outbox.read(this.#session.sentSeq, eventsPerMessageMax));
      const last = events.at(-1);
      if (last !== undefined) {
        this.#send({ type: 'events', epoch, events });
        this.#apply({ kind: 'events-sent', lastSeq: last.seq });
      } else if (outbox.sending.epoch === epoch) return;
    }
  }

  #pumpIncident(): void {
    if (!maySendIncident(this.#session) || this.#socket.bufferedAmount > bufferedBytesMax) return;
    const message = this.#options.incidents.next();
    if (message === null) return;
    this.#send(message);
    this.#apply({ kind: 'incident-sent' });
  }

  /** True: there was, or may be, something to send. */
  #pumpLog(): boolean {
    if (!maySendLog(this.#session)) return false;
    if (this.#socket.bufferedAmount > bufferedBytesMax) {
      this.pumpSoon(bufferedRetryMs);
      return true;
    }
    const frame = this.#options.logs.nextFrame();
    if (frame === null) return false;
    const { segment, to } = frame.kind === 'block' ? frame.block.header : frame.gap;
    this.#socket.send(frame.kind === 'block' ? encodeBlock(frame.block) : JSON.stringify(frame.gap));
    this.#apply({ kind: 'log-sent', segment, to });
    this.pumpSoon();
    return true;
  }

  #hello(): void {
    const { clock, hello, logs, outbox, protocols = ownProtocols } = this.#options;
    this.#session = greet(outbox.epoch, protocols);
    this.#send({
      ...hello(),
      type: 'hello',
      protocol: protocols.newest,
      protocolOldest: protocols.oldest,
      epoch: outbox.epoch,
      at: clock.now(),
      lastEventSeq: outbox.lastSeq,
      segments: named(logs.segments()),
    });
  }

  #receive(text: string): void {
    if (this.#leaving) return;
    let message: CollectorMessage | null;
    try {
      message = parseMessage(collectorMessageSchema, text);
    } catch (error) {
      // A welcome of a protocol that this side does not know need not look like one of its own.
      const greeting = this.live ? null : greetingIn(text);
      const apart = greeting?.type === 'welcome' ? versionsApart(this.#session, greeting.protocols.newest) : null;
      this.#effect(apart ?? { kind: 'protocol-error', reason: errorMessage(error) });
      return;
    }
    if (message === null) return;
    this.#apply({ kind: 'message', message });
    this.pump();
  }

  #apply(input: SessionInput): void {
    const { session, effects } = step(this.#session, input);
    this.#session = session;
    for (const effect of effects) if (!this.#leaving) this.#effect(effect);
  }

  #effect(effect: SessionEffect): void {
    const { incidents, logs, outbox, onAction, onClockSkew, onFleetSize, onMachineIdShared, onWelcome } = this.#options;
    switch (effect.kind) {
      case 'welcomed':
        this.#welcomed(effect.heartbeatMs);
        logs.resume(effect.committed);
        onWelcome(effect.sessionId);
        break;
      case 'acknowledge':
        outbox.acknowledge(effect);
        break;
      case 'log-committed':
        logs.committed(effect.segment, effect.offset, effect.rewind);
        break;
      case 'incident-committed':
        incidents.acknowledged(effect.ack);
        break;
      case 'watch':
        logs.watch(effect.watch);
        break;
      case 'act':
        onAction(effect.action);
        break;
      case 'fleet-size':
        onFleetSize?.(effect.size);
        break;
      case 'clock-skew':
        onClockSkew(effect.skewMs);
        break;
      case 'machine-id-shared':
        onMachineIdShared(effect);
        break;
      case 'drain':
        if (this.#goodbye !== null) return this.#farewell();
        this.#ending = { kind: 'told', ms: effect.reconnectAfterMs };
        this.#leave(closeCodes.goodbye, 'the collector asked to come back later');
        break;
      case 'versions-apart':
        this.#ending = { kind: 'hopeless' };
        this.#leave(closeCodes.versionsApart, effect.reason);
        break;
      case 'protocol-error':
        this.#leave(closeCodes.protocolError, effect.reason);
        break;
    }
  }

  #welcomed(heartbeatMs: number): void {
    this.#deadline.cancel();
    this.#liveAt = this.#options.clock.monotonic();
    this.#heartbeatMs = Math.max(heartbeatMsMin, heartbeatMs);
    this.#beat();
    this.#watchLife();
  }

  #watchLife(): void {
    const { clock } = this.#options;
    this.#ping = clock.after(pingMs, () => {
      const silentMs = clock.monotonic() - this.#heardAt;
      if (silentMs >= deadMs) return this.#drop(`nothing heard for ${deadMs / 1_000} s`);
      // The collector asks as well: what it has just said is as good as an answer.
      if (silentMs >= pingMs) this.#socket.ping();
      this.#watchLife();
    });
  }

  #beat(): void {
    if (!this.live || this.#leaving) return;
    if (this.#socket.bufferedAmount > bufferedWithBeatsMax) return this.#scheduleHeartbeat(bufferedRetryMs);
    const { clock, random, status } = this.#options;
    this.#heartbeatAt = clock.monotonic();
    this.#send({ type: 'heartbeat', at: clock.now(), ...status() });
    this.#scheduleHeartbeat(this.#heartbeatMs * (0.9 + 0.2 * random()));
  }

  #scheduleHeartbeat(ms: number): void {
    this.#heartbeat?.cancel();
    this.#heartbeat = this.#options.clock.after(ms, () => this.#beat());
  }

  #send(message: SentAgentMessage): void {
    this.#socket.send(JSON.stringify(message));
  }

  #farewell(): void {
    if (this.#goodbye === null || this.#leaving) return;
    this.#send({ type: 'goodbye', reason: this.#goodbye });
    this.#leave(closeCodes.goodbye, 'goodbye');
  }

  #leave(code: number, reason: string): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#trouble = reason;
    this.#socket.close(code, closeReason(reason));
    this.#deadline.cancel();
    this.#deadline = this.#options.clock.after(closeMs, () => this.#socket.terminate());
  }

  #drop(reason: string): void {
    this.#trouble = reason;
    this.#socket.terminate();
  }

  #closed(closing: Closing): void {
    for (const timer of [this.#deadline, this.#heartbeat, this.#ping, this.#pumping]) timer?.cancel();
    this.#leaving = true;
    const welcomed = this.#liveAt !== null;
    if (welcomed) this.#options.logs.suspend();
    const connectedMs = this.#liveAt === null ? null : this.#options.clock.monotonic() - this.#liveAt;
    this.#options.onEnd({
      ending: this.#ending ?? endingOf(closing, connectedMs),
      reason: closing.reason || this.#trouble || `closed with code ${closing.code}`,
      closing,
      welcomed,
    });
  }
}

/** As many as fit into one frame, at least one. */
function bounded(events: readonly AgentEvent[]): AgentEvent[] {
  let bytes = 0;
  const fit = events.findIndex((event, index) => {
    bytes += Buffer.byteLength(JSON.stringify(event));
    return index > 0 && bytes > eventBytesMax;
  });
  return events.slice(0, fit < 0 ? events.length : fit);
}

/** As many of the oldest as there is room for. Where the others stand the collector says when they come. */
function named(segments: readonly SegmentKey[]): SegmentKey[] {
  let bytes = 0;
  const end = segments.findIndex((segment) => (bytes += Buffer.byteLength(JSON.stringify(segment)) + 1) > segmentBytesMax);
  return segments.slice(0, Math.min(segmentsMax, end < 0 ? segmentsMax : end));
}
