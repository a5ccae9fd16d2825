/**
 * The agent's one connection to the collector: dials, greets, resumes, sends events before logs, and reports health on a
 * path that neither can block. Decisions are in session.ts and backoff.ts; this file owns the socket and the timers.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { catalogue, errorMessage } from '@relight/shared/errors';
import type { AgentEvent } from '@relight/shared/event';
import { encodeBlock } from '@relight/shared/log-block';
import {
  closeCodes,
  collectorMessageSchema,
  eventsPerMessageMax,
  parseMessage,
  protocolVersion,
  type Action,
  type AgentMessage,
  type CollectorMessage,
  type Heartbeat,
  type Hello,
} from '@relight/shared/protocol';
import type { Logger } from 'pino';
import type { CollectorSpec } from '../config/spec.ts';
import type { LogLane } from '../logs/log-lane.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { ActionLog, type ActionResult } from './action-log.ts';
import { firstJitterMs, nextAttempt, type Ending } from './backoff.ts';
import { handshakeMs, openWebSocket, type Closing, type OpenSocket, type Socket } from './socket.ts';
import { greet, maySendEvents, maySendLog, step, type Session, type SessionEffect, type SessionInput } from './session.ts';

export interface UplinkOptions {
  readonly spec: CollectorSpec;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly outbox: Outbox;
  readonly logs: LogLane;
  readonly hello: () => Omit<Hello, 'type' | 'protocol' | 'epoch' | 'at' | 'lastEventSeq' | 'segments'>;
  readonly status: () => Omit<Heartbeat, 'type' | 'at'>;
  readonly onAction: (action: Action) => Promise<ActionResult>;
  readonly openSocket?: OpenSocket;
}

export interface UplinkState {
  readonly connected: boolean;
  /** Epoch milliseconds of the last change of `connected`. */
  readonly since: number;
  readonly lastError: string | null;
  readonly lagEvents: number;
  readonly lagBytes: number;
}

const pingMs = 15_000;
const deadMs = 45_000;
const statusMs = 100;
const bufferedBytesMax = 1024 ** 2;
const bufferedRetryMs = 20;
/** Raw JSON of the events of one message; frames stay below 256 KiB. */
const eventBytesMax = 192 * 1024;
const segmentsMax = 10_000;
const farewellMs = 2_000;
const closeMs = 500;

interface Link {
  readonly socket: Socket;
  session: Session;
  /** Monotonic; null before welcome. */
  liveAt: number | null;
  heardAt: number;
  ending: Ending | null;
  /** The close has begun: nothing is sent or heard any more. */
  leaving: boolean;
}

export class Uplink {
  readonly #options: UplinkOptions;
  readonly #open: OpenSocket;
  readonly #actions: ActionLog;
  #link: Link | null = null;
  #failures = 0;
  #since: number;
  #lastError: string | null = null;
  /** What was said about this outage already. */
  #said = new Set<string>();
  #dial: Timer | null = null;
  #deadline: Timer | null = null;
  #heartbeat: Timer | null = null;
  #ping: Timer | null = null;
  #pumping: Timer | null = null;
  #heartbeatMs = 10_000;
  #heartbeatAt = -Infinity;
  #stopping: { reason: 'stopped' | 'rebooting'; done: () => void } | null = null;
  #subscriptions: { dispose(): void }[] = [];

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#open = options.openSocket ?? openWebSocket;
    this.#actions = new ActionLog(options.onAction);
    this.#since = options.clock.now();
  }

  start(): void {
    const { clock, logs, outbox, random } = this.#options;
    this.#subscriptions = [logs.onReady(() => this.#pumpSoon()), outbox.onAppend(() => this.#pump())];
    this.#dial = clock.after(random() * firstJitterMs, () => this.#connect());
  }

  /** The status of a workload has changed: a heartbeat follows at once, at most one per 100 ms. */
  statusChanged(): void {
    if (this.#link?.session.phase !== 'live') return;
    this.#scheduleHeartbeat(Math.max(0, this.#heartbeatAt + statusMs - this.#options.clock.monotonic()));
  }

  state(): UplinkState {
    const { logs, outbox } = this.#options;
    const oldest = outbox.read(0, 1)[0];
    return {
      connected: this.#link?.session.phase === 'live',
      since: this.#since,
      lastError: this.#lastError,
      lagEvents: oldest === undefined ? 0 : outbox.lastSeq - oldest.seq + 1,
      lagBytes: logs.lagBytes(),
    };
  }

  /** Sends what is there for up to 2 s, says goodbye, closes. Dials no more. */
  stop(reason: 'stopped' | 'rebooting'): Promise<void> {
    return new Promise((done) => {
      this.#dial?.cancel();
      this.#stopping = { reason, done };
      const link = this.#link;
      if (link === null) return this.#end();
      if (link.session.phase !== 'live') return link.socket.terminate();
      this.#options.logs.flush();
      this.#beat();
      this.#deadline = this.#options.clock.after(farewellMs, () => this.#farewell(link));
      this.#pump();
    });
  }

  #connect(): void {
    const { clock } = this.#options;
    const opened = (): void => {
      if (link !== null && this.#link === link) this.#hello(link);
    };
    let link: Link | null = null;
    try {
      const socket = this.#open(this.#options.spec, {
        opened,
        alive: () => {
          if (link !== null) link.heardAt = clock.monotonic();
        },
        text: (text) => {
          if (link !== null && this.#link === link) this.#receive(link, text);
        },
        closed: (closing) => {
          if (link !== null && this.#link === link) this.#closed(link, closing);
        },
      });
      link = { socket, session: greet(this.#options.outbox.epoch), liveAt: null, heardAt: clock.monotonic(), ending: null, leaving: false };
      this.#link = link;
    } catch (error) {
      this.#fail(errorMessage(error), { kind: 'failed' });
      return;
    }
    this.#deadline = clock.after(handshakeMs, () => {
      this.#lastError = `no welcome within ${handshakeMs / 1_000} s`;
      link.socket.terminate();
    });
  }

  #hello(link: Link): void {
    const { clock, hello, logs, outbox } = this.#options;
    link.session = greet(outbox.epoch);
    const segments = logs.segments().slice(0, segmentsMax);
    this.#send(link, {
      ...hello(),
      type: 'hello',
      protocol: protocolVersion,
      epoch: outbox.epoch,
      at: clock.now(),
      lastEventSeq: outbox.lastSeq,
      segments,
    });
  }

  #receive(link: Link, text: string): void {
    if (link.leaving) return;
    let message: CollectorMessage | null;
    try {
      message = parseMessage(collectorMessageSchema, text);
    } catch (error) {
      this.#leave(link, closeCodes.protocolError, errorMessage(error));
      return;
    }
    if (message === null) return;
    this.#apply(link, { kind: 'message', message });
    this.#pump();
  }

  #apply(link: Link, input: SessionInput): void {
    const { session, effects } = step(link.session, input);
    link.session = session;
    for (const effect of effects) if (!link.leaving) this.#effect(link, effect);
  }

  #effect(link: Link, effect: SessionEffect): void {
    const { logs, outbox, logger } = this.#options;
    switch (effect.kind) {
      case 'welcomed':
        this.#welcomed(link, effect.heartbeatMs);
        logs.resume(effect.committed);
        logger.info({ collector: this.#options.spec.url, session: effect.sessionId }, 'connected to the collector');
        break;
      case 'acknowledge':
        if (outbox.epoch === link.session.epoch) outbox.acknowledge(effect.seq);
        break;
      case 'log-committed':
        logs.committed(effect.segment, effect.offset, effect.rewind);
        break;
      case 'watch':
        logs.watch(effect.watch);
        break;
      case 'act':
        void this.#act(effect.action);
        break;
      case 'drain':
        link.ending = { kind: 'told', ms: effect.reconnectAfterMs };
        this.#leave(link, closeCodes.goodbye, 'the collector asked to come back later');
        break;
      case 'protocol-error':
        this.#leave(link, closeCodes.protocolError, effect.reason);
        break;
    }
  }

  #welcomed(link: Link, heartbeatMs: number): void {
    const { clock } = this.#options;
    this.#deadline?.cancel();
    link.liveAt = clock.monotonic();
    this.#since = clock.now();
    this.#lastError = null;
    this.#said.clear();
    this.#heartbeatMs = heartbeatMs;
    this.#beat();
    this.#watchLife(link);
  }

  async #act(action: Action): Promise<void> {
    const result = await this.#actions.run(action);
    // The answer goes to whoever is connected now; lost with the connection, it is given again when the action is repeated.
    if (this.#link !== null) this.#send(this.#link, { type: 'action-result', id: action.id, ...result });
  }

  #watchLife(link: Link): void {
    this.#ping = this.#options.clock.after(pingMs, () => {
      if (this.#options.clock.monotonic() - link.heardAt >= deadMs) {
        this.#lastError = `nothing heard for ${deadMs / 1_000} s`;
        link.socket.terminate();
        return;
      }
      link.socket.ping();
      this.#watchLife(link);
    });
  }

  #beat(): void {
    const link = this.#link;
    if (link?.session.phase !== 'live' || link.leaving) return;
    const { clock, random, status } = this.#options;
    this.#heartbeatAt = clock.monotonic();
    this.#send(link, { type: 'heartbeat', at: clock.now(), ...status() });
    this.#scheduleHeartbeat(this.#heartbeatMs * (0.9 + 0.2 * random()));
  }

  #scheduleHeartbeat(ms: number): void {
    this.#heartbeat?.cancel();
    this.#heartbeat = this.#options.clock.after(ms, () => this.#beat());
  }

  #pumpSoon(ms = 0): void {
    if (this.#link?.session.phase !== 'live') return;
    this.#pumping ??= this.#options.clock.after(ms, () => {
      this.#pumping = null;
      this.#pump();
    });
  }

  /** Events first, as many as may be under way; then one log frame, and a breath for everything else in this process. */
  #pump(): void {
    const link = this.#link;
    if (link?.session.phase !== 'live' || link.leaving) return;
    const { logs, outbox } = this.#options;
    if (outbox.epoch !== link.session.epoch) {
      link.ending = { kind: 'told', ms: 0 };
      this.#leave(link, closeCodes.goodbye, 'a new epoch has begun');
      return;
    }
    this.#pumpEvents(link);
    let idle = link.session.sentSeq >= outbox.lastSeq;
    if (maySendLog(link.session)) {
      if (link.socket.bufferedAmount > bufferedBytesMax) {
        this.#pumpSoon(bufferedRetryMs);
        return;
      }
      const frame = logs.nextFrame();
      if (frame !== null) {
        idle = false;
        const { segment, to } = frame.kind === 'block' ? frame.block.header : frame.gap;
        link.socket.send(frame.kind === 'block' ? encodeBlock(frame.block) : JSON.stringify(frame.gap));
        this.#apply(link, { kind: 'log-sent', segment, to });
        this.#pumpSoon();
      }
    }
    const { eventMessages, logFrames } = link.session;
    if (this.#stopping !== null && idle && eventMessages.length === 0 && logFrames.length === 0) this.#farewell(link);
  }

  #pumpEvents(link: Link): void {
    while (maySendEvents(link.session)) {
      const events = bounded(this.#options.outbox.read(link.session.sentSeq, eventsPerMessageMax));
      const last = events.at(-1);
      if (last === undefined) return;
      this.#send(link, { type: 'events', epoch: link.session.epoch, events });
      this.#apply(link, { kind: 'events-sent', lastSeq: last.seq });
    }
  }

  #send(link: Link, message: AgentMessage): void {
    link.socket.send(JSON.stringify(message));
  }

  #leave(link: Link, code: number, reason: string): void {
    if (link.leaving) return;
    link.leaving = true;
    this.#lastError = reason;
    link.socket.close(code, reason.slice(0, 100));
    this.#deadline?.cancel();
    this.#deadline = this.#options.clock.after(closeMs, () => link.socket.terminate());
  }

  #farewell(link: Link): void {
    const stopping = this.#stopping;
    if (stopping === null || this.#link !== link || link.leaving) return;
    this.#send(link, { type: 'goodbye', reason: stopping.reason });
    this.#leave(link, closeCodes.goodbye, 'goodbye');
  }

  #closed(link: Link, closing: Closing): void {
    const { clock, logs } = this.#options;
    this.#link = null;
    for (const timer of [this.#deadline, this.#heartbeat, this.#ping, this.#pumping]) timer?.cancel();
    this.#pumping = null;
    if (link.liveAt !== null) {
      logs.suspend();
      this.#since = clock.now();
    }
    if (this.#stopping !== null) {
      this.#end();
      return;
    }
    const ending = link.ending ?? judge(closing, link.liveAt === null ? null : clock.monotonic() - link.liveAt);
    this.#fail(closing.reason || this.#lastError || `closed with code ${closing.code}`, ending, closing);
  }

  #fail(reason: string, ending: Ending, closing?: Closing): void {
    const { clock, logger, random, spec } = this.#options;
    const { failures, delayMs } = nextAttempt(this.#failures, ending, random());
    this.#failures = failures;
    this.#lastError = reason;
    const code = closing?.status === 401 || closing?.code === closeCodes.unauthorized ? 'unauthorized' : 'collector-unreachable';
    // One line per outage and kind of trouble: a collector that is away for a day is not news every 30 seconds.
    const kind = `${code} ${ending.kind}`;
    if (!this.#said.has(kind)) {
      this.#said.add(kind);
      logger.warn({ code, collector: spec.url, reason, advice: catalogue[code].advice }, `no connection to the collector: ${reason}`);
    }
    this.#dial = clock.after(delayMs, () => this.#connect());
  }

  #end(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
    this.#stopping?.done();
  }
}

/** What the end of a connection means for the next attempt. `connectedMs` null: there was no welcome. */
function judge(closing: Closing, connectedMs: number | null): Ending {
  const { unauthorized, superseded, cloned } = closeCodes;
  if (closing.status === 401 || closing.status === 403) return { kind: 'hopeless' };
  if (([unauthorized, superseded, cloned] as number[]).includes(closing.code)) return { kind: 'hopeless' };
  if (closing.retryAfterMs !== undefined) return { kind: 'told', ms: closing.retryAfterMs };
  return connectedMs === null ? { kind: 'failed' } : { kind: 'lost', connectedMs };
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
