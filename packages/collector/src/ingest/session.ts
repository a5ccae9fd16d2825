/**
 * One agent's connection: hello, then events, log pieces, heartbeats and answers in any order, until goodbye or the end.
 *
 *   awaiting-hello ── hello accepted ──▶ open ── closed by either side ──▶ closed
 *
 * It acknowledges only what the store has committed. Events go to the store one message at a time, because their numbering
 * is what makes them exactly-once; log pieces several at a time, because each carries its own position.
 */
import type { Clock } from '@relight/shared/clock';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { decodeBlock, verifyBlock, type Block } from '@relight/shared/log-block';
import type { Incident } from '@relight/shared/incident';
import type { SegmentKey } from '@relight/shared/log-stream';
import {
  agentMessageSchema,
  closeCodes,
  inFlightMax,
  parseMessage,
  type AgentMessage,
  type CollectorMessage,
  type Gap,
  type Heartbeat,
  type Hello,
  type IncidentEvidence,
} from '@relight/shared/protocol';
import type { ProtocolRange } from '@relight/shared/protocol-version';
import type { IncidentCommit, LogCommit, Store, StoredEvent, StoredLogPiece, TokenRecord } from '../store/store.ts';
import type { Holder } from '../liveness/shared-identity.ts';
import { chooseProtocol, oneLine, type HelloRefusal } from './common-protocol.ts';
import { lifeOf } from './identity.ts';
import { Lane } from './lane.ts';
import { skewToTell, type SkewTold } from './skew-telling.ts';

export interface AgentSocket {
  send(text: string): void;
  ping(): void;
  close(code: number, reason: string): void;
  /** Drops the connection without waiting for the other side. */
  terminate(): void;
  pause(): void;
  resume(): void;
}

export type Watch = readonly { readonly workload?: string; readonly source?: string }[];
export type Claim =
  | { readonly accepted: true; readonly watch: Watch }
  | { readonly accepted: false; readonly code: number; readonly reason: string };

/** What a session tells the fleet. */
export interface SessionOwner {
  /** How many hosts this collector knows. */
  readonly fleetSize: number;
  claim(session: Session, hello: Hello): Claim;
  heard(session: Session): void;
  heartbeat(session: Session, heartbeat: Heartbeat): void;
  goodbye(session: Session, reason: 'stopped' | 'rebooting'): void;
  closed(session: Session, end: SessionEnd): void;
  actionResult(session: Session, result: Extract<AgentMessage, { type: 'action-result' }>): void;
  eventsStored(events: readonly StoredEvent[]): void;
  pieceStored(piece: StoredLogPiece): void;
  /** A revision that was new, and what it has closed. */
  incidentStored(host: string, incident: Incident, commit: IncidentCommit): void;
}

export interface SessionEnd {
  readonly why: string;
  /** This side gave up because nothing came. */
  readonly silence: boolean;
}

export interface SessionDeps {
  readonly id: string;
  readonly token: TokenRecord;
  /** From where it comes, for a person. */
  readonly address: string;
  readonly socket: AgentSocket;
  readonly owner: SessionOwner;
  readonly store: Pick<
    Store,
    'lastEventSeq' | 'committedOffset' | 'commitEvents' | 'commitBlock' | 'commitGap' | 'commitIncident' | 'commitIncidentEvidence'
  >;
  readonly clock: Clock;
  readonly heartbeatMs: number;
  /** Its hello was accepted, or it is gone. */
  readonly handshakeDone: (accepted: boolean) => void;
  readonly refused: (refusal: HelloRefusal) => void;
  readonly warn: (message: string, error: RelightError) => void;
  /** Absent: what this version speaks. */
  readonly protocols?: ProtocolRange;
}

const helloWithinMs = 10_000;
const pingEveryMs = 15_000;
const deadReadMs = 45_000;
const retryMs = 1_000;
/** An agent that keeps to inFlightMax on both lanes never reaches this. */
const pendingMax = 4 * inFlightMax;

type Piece = { readonly block: Block } | { readonly gap: Gap };
type Events = Extract<AgentMessage, { type: 'events' }>;
type IncidentPiece = Extract<AgentMessage, { type: 'incident' }> | IncidentEvidence;
const segmentOf = (piece: Piece): SegmentKey => ('block' in piece ? piece.block.header.segment : piece.gap.segment);

/** What came damaged is never committed: the agent cuts it anew when it is back. */
function soundBlock(data: Buffer): Block {
  const block = decodeBlock(data);
  verifyBlock(block);
  return block;
}

export class Session {
  readonly id: string;
  readonly token: TokenRecord;
  readonly address: string;
  readonly #deps: SessionDeps;
  readonly #events: Lane<Events, { readonly seq: number; readonly stored: readonly StoredEvent[] }>;
  readonly #pieces: Lane<Piece, LogCommit>;
  readonly #incidents: Lane<IncidentPiece, IncidentCommit | null>;
  #state: 'awaiting-hello' | 'open' | 'closed' = 'awaiting-hello';
  #hello: Hello | null = null;
  /** What both sides speak, once the hello has said it. */
  #protocol = 0;
  #skewTold: SkewTold | null = null;
  #openedAt: number;
  /** Epoch milliseconds. */
  readonly #since: number;
  #readAt: number;
  #pingedAt: number;
  #paused = false;
  /** It said goodbye, which is the last that an agent says. */
  #left = false;
  #end: SessionEnd | null = null;

  constructor(deps: SessionDeps) {
    const { clock, store, owner } = deps;
    this.id = deps.id;
    this.token = deps.token;
    this.address = deps.address;
    this.#deps = deps;
    this.#openedAt = clock.monotonic();
    this.#since = clock.now();
    this.#readAt = this.#openedAt;
    this.#pingedAt = this.#openedAt;
    const failed = (error: RelightError, retried: boolean): void => this.#storeFailed(error, retried);
    this.#events = new Lane({
      window: 1,
      retryMs,
      clock,
      failed,
      commit: ({ epoch, events }) => store.commitEvents(this.agentId, this.host, epoch, events, clock.now()),
      committed: ({ epoch }, { seq, stored }) => {
        if (stored.length > 0) owner.eventsStored(stored);
        this.send({ type: 'ack', events: { epoch, seq }, ...this.#fleetSize(), segments: [] });
        this.#relieve();
      },
    });
    this.#pieces = new Lane({
      window: inFlightMax,
      retryMs,
      clock,
      failed,
      outOfOrder: (result) => result.rewind,
      commit: (piece) =>
        'block' in piece
          ? store.commitBlock(this.agentId, this.host, piece.block, clock.now())
          : store.commitGap(this.agentId, this.host, piece.gap, clock.now()),
      committed: (piece, result) => this.#pieceCommitted(piece, result),
    });
    this.#incidents = new Lane({
      window: 1,
      retryMs,
      clock,
      failed,
      commit: (piece) =>
        piece.type === 'incident'
          ? store.commitIncident(this.host, piece.incident, clock.now())
          : store.commitIncidentEvidence(this.host, piece).then(() => null),
      committed: (piece, commit) => this.#incidentCommitted(piece, commit),
    });
  }

  /** Valid once the hello was accepted. */
  get agentId(): string {
    return this.#hello?.agentId ?? '';
  }
  get host(): string {
    return this.#hello?.host ?? '';
  }
  /** Of the machine and its outbox (identity.ts). */
  get life(): string {
    return this.#hello === null ? '' : lifeOf(this.#hello);
  }
  /** As one that another machine may take itself for. */
  get asHolder(): Holder {
    const { id: tokenId, host, agentId } = this.token;
    const bootId = this.#hello?.bootId ?? '';
    return { host: this.host, address: this.address, bootId, since: this.#since, tokenId, tokenIsOwn: host !== null || agentId !== null };
  }

  /** Messages received and not committed yet. */
  get pending(): number {
    return this.#events.pending + this.#pieces.pending + this.#incidents.pending;
  }

  receive(data: Buffer, binary: boolean): void {
    if (this.#state === 'closed' || this.#left) return;
    this.#readAt = this.#deps.clock.monotonic();
    try {
      if (binary) this.#receivePiece({ block: soundBlock(data) });
      else this.#receiveText(data.toString('utf8'));
    } catch (error) {
      const reason = errorMessage(error);
      if (this.#state === 'awaiting-hello')
        this.#deps.refused({ code: 'protocol', reason: `no hello that can be read: ${oneLine(reason)}`, written: false, greeting: null });
      this.close(closeCodes.protocolError, reason);
      return;
    }
    if (this.#state === 'open') this.#deps.owner.heard(this);
  }

  /** A pong shows that the connection lives. Whether the agent does, only its messages show. */
  receivePong(): void {
    this.#readAt = this.#deps.clock.monotonic();
  }

  /** Called regularly: deadlines of the connection itself. */
  pulse(nowMono: number): void {
    if (this.#left && this.pending === 0) return this.close(closeCodes.goodbye, 'goodbye');
    if (this.#state === 'awaiting-hello' && nowMono - this.#openedAt >= helloWithinMs) {
      this.close(closeCodes.protocolError, `no hello within ${helloWithinMs / 1000} s`);
    } else if (nowMono - this.#readAt >= deadReadMs && !this.#paused) {
      this.#end ??= { why: `nothing came for ${deadReadMs / 1000} s`, silence: true };
      this.#deps.socket.terminate();
    } else if (nowMono - this.#pingedAt >= pingEveryMs) {
      this.#pingedAt = nowMono;
      this.#deps.socket.ping();
    }
  }

  /** This process stood still: nobody's silence. */
  stalled(byMs: number): void {
    this.#readAt += byMs;
    this.#openedAt += byMs;
  }

  send(message: CollectorMessage): void {
    if (this.#state === 'open') this.#deps.socket.send(JSON.stringify(message));
  }

  close(code: number, reason: string): void {
    this.#end ??= { why: reason, silence: false };
    this.#deps.socket.close(code, reason);
    this.socketClosed('');
  }

  /** The connection is gone, by whichever side. */
  socketClosed(why: string): void {
    if (this.#state === 'closed') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'closed';
    this.#events.close();
    this.#pieces.close();
    this.#incidents.close();
    this.#deps.handshakeDone(false);
    if (wasOpen) this.#deps.owner.closed(this, this.#end ?? { why, silence: false });
  }

  #receiveText(text: string): void {
    if (this.#state === 'awaiting-hello') {
      const choice = chooseProtocol(text, this.#deps.protocols);
      if (choice !== null && 'refusal' in choice) {
        this.#deps.refused(choice.refusal);
        return this.close(choice.closeCode, choice.refusal.reason);
      }
      this.#protocol = choice?.protocol ?? 0;
    }
    const message = parseMessage(agentMessageSchema, text);
    if (message !== null) this.#receiveMessage(message);
  }

  #receiveMessage(message: AgentMessage): void {
    if (message.type === 'hello') return this.#receiveHello(message);
    if (this.#state !== 'open') throw new Error('the first message must be hello');
    switch (message.type) {
      case 'events': {
        const broken = message.events.findIndex((event, index, all) => index > 0 && event.seq !== (all[index - 1]?.seq ?? 0) + 1);
        if (broken !== -1) throw new Error(`events: sequence ${message.events[broken]?.seq} does not follow`);
        this.#events.push(message);
        return this.#hold();
      }
      case 'gap':
        if (message.to <= message.from) throw new Error('gap: empty byte range');
        return this.#receivePiece({ gap: message });
      case 'incident':
      case 'incident-evidence':
        this.#incidents.push(message);
        return this.#hold();
      case 'heartbeat':
        this.#deps.owner.heartbeat(this, message);
        return this.#tellSkew(message.at);
      case 'action-result':
        return this.#deps.owner.actionResult(this, message);
      case 'goodbye':
        this.#left = true;
        return this.#deps.owner.goodbye(this, message.reason);
    }
  }

  #receiveHello(hello: Hello): void {
    if (this.#state !== 'awaiting-hello') throw new Error('hello: a second time');
    const { owner, store, heartbeatMs, handshakeDone, refused, warn } = this.#deps;
    this.#hello = hello;
    const claim = owner.claim(this, hello);
    if (!claim.accepted) {
      const code = claim.code === closeCodes.unauthorized ? 'unauthorized' : 'forbidden';
      refused({ code, reason: claim.reason, written: true, greeting: hello });
      return this.close(claim.code, claim.reason);
    }
    this.#state = 'open';
    handshakeDone(true);
    const segments = hello.segments.filter((segment) => segment !== null);
    const unknown = hello.segments.length - segments.length;
    if (unknown > 0)
      warn('a hello is answered in part', new RelightError('protocol', `${hello.host}: ${unknown} of its log segments are none`));
    this.send({
      type: 'welcome',
      protocol: this.#protocol,
      sessionId: this.id,
      heartbeatMs,
      lastEventSeq: store.lastEventSeq(hello.agentId, hello.epoch),
      segments: segments.map((segment) => ({ segment, offset: store.committedOffset(hello.agentId, segment) })),
      watch: [...claim.watch],
      ...this.#fleetSize(),
      incidents: true,
    });
  }

  #tellSkew(agentAt: number): void {
    const { clock } = this.#deps;
    const tell = skewToTell(this.#skewTold, agentAt, clock.now(), clock.monotonic());
    if (tell === null) return;
    this.#skewTold = tell;
    this.send({ type: 'clock', skewMs: tell.skewMs });
  }

  #receivePiece(piece: Piece): void {
    if (this.#state !== 'open') throw new Error('the first message must be hello');
    this.#pieces.push(piece);
    this.#hold();
  }

  /** Forgotten while its last words arrive, a host is none of them: then there may be nobody. */
  #fleetSize(): { fleetSize?: number } {
    const { fleetSize } = this.#deps.owner;
    return fleetSize > 0 ? { fleetSize } : {};
  }

  #pieceCommitted(piece: Piece, { committed, stored, rewind, id }: LogCommit): void {
    if (stored && id !== undefined) {
      const common = { id, host: this.host, receivedAt: this.#deps.clock.now() };
      this.#deps.owner.pieceStored(
        'block' in piece ? { ...common, kind: 'block', block: piece.block } : { ...common, kind: 'gap', gap: piece.gap },
      );
    }
    this.send({ type: 'ack', segments: [{ segment: segmentOf(piece), offset: committed, rewind }] });
    this.#relieve();
  }

  #incidentCommitted(piece: IncidentPiece, commit: IncidentCommit | null): void {
    const isDocument = piece.type === 'incident';
    if (isDocument && commit !== null) this.#deps.owner.incidentStored(this.host, piece.incident, commit);
    const incident = isDocument
      ? { id: piece.incident.id, revision: piece.incident.revision }
      : { id: piece.incident, evidence: piece.item.name };
    this.send({ type: 'ack', segments: [], incident });
    this.#relieve();
  }

  /** The store could not take it now (the lane tries again, the agent waits for its ack), or never will. */
  #storeFailed(error: RelightError, retried: boolean): void {
    // Who sends too much was told of where it is counted.
    if (error.code === 'overloaded') return;
    this.#deps.warn(retried ? 'the store failed, trying again' : 'a message of an agent cannot be stored', error);
    if (!retried) this.close(closeCodes.protocolError, error.message);
  }

  #hold(): void {
    if (this.#paused || this.pending <= pendingMax) return;
    this.#paused = true;
    this.#deps.socket.pause();
  }

  #relieve(): void {
    if (!this.#paused || this.#state === 'closed' || this.pending > pendingMax / 2) return;
    this.#paused = false;
    this.#readAt = this.#deps.clock.monotonic();
    this.#deps.socket.resume();
  }
}
