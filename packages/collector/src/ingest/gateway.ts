/** Agents' WebSockets on the collector's HTTP server: who may in is decided on the upgrade request, before any frame. */
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import { RelightError, toRelightError } from '@relight/shared/errors';
import { agentPath, closeCodes, frameBytesMax, subprotocol } from '@relight/shared/protocol';
import { decodePreflight, preflightHeader } from '@relight/shared/preflight';
import { ownProtocols, type ProtocolRange } from '@relight/shared/protocol-version';
import { randomUUID } from 'node:crypto';
import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import type { MetricFamily } from '../api/metrics-text.ts';
import { problem } from '../api/problem.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { Doorkeeper, Refused, Visitor } from '../access/doorkeeper.ts';
import type { RefusalBook } from '../access/refusal-book.ts';
import type { Revocations } from '../access/revocations.ts';
import { Admission, defaultAdmission, type AdmissionLimits, type Place } from './admission.ts';
import { agentSocket } from './agent-socket.ts';
import { metered, type Allowances } from './allowances.ts';
import type { HelloRefusal } from './common-protocol.ts';
import type { IngestCounters, Refusal } from './counters.ts';
import { goodbyeIn } from './goodbye.ts';
import type { LiveFleet } from './live-fleet.ts';
import { underWayMax } from './own-tokens.ts';
import type { Pace } from './pace.ts';
import { PacedFrames } from './paced-frames.ts';
import { Session } from './session.ts';
import { UnreadTelling } from './unread-telling.ts';

export interface GatewayDeps {
  readonly store: SqliteStore;
  readonly fleet: LiveFleet;
  readonly clock: Clock;
  readonly heartbeatMs: number;
  /** [0, 1), for the jitter of reconnects. */
  readonly random: () => number;
  readonly warn: (message: string, error: RelightError) => void;
  readonly counters: IngestCounters;
  readonly admission?: AdmissionLimits;
  readonly allowances: Allowances;
  readonly pace: Pace;
  readonly doorkeeper: Doorkeeper;
  readonly refusals: RefusalBook;
  readonly revocations: Revocations;
  /** Absent: what this version speaks. */
  readonly protocols?: ProtocolRange;
}

/** How far agents spread their return after a planned end of this process. */
const drainSpreadMs = 5_000;
const drainFloorMs = 500;
const closeWithinMs = 2_000;
/** Connections without a hello are looked for this often. */
const inspectMs = 1_000;
/**
 * Of one connection between two looks: frames that no pace holds back, some ten thousand of which are in what is read at once. An honest
 * agent pings and is pinged once in 15 s, and after this side has ended it some dozens are still under way.
 */
const unpacedFramesMax = 100;
/** An agent sends each message in one; who passes it on may cut it, the largest one here into pieces of 1 KiB. */
const fragmentsMax = frameBytesMax / 1_024;
/** Not in place: of the last one the types do not know. Who pings too much is told of here, and not ended without a word. */
const socketOptions = {
  noServer: true,
  maxPayload: frameBytesMax,
  maxFragments: fragmentsMax,
  perMessageDeflate: false,
  handleProtocols: () => subprotocol,
  maxPendingAutoPongs: 0,
};

export class AgentGateway {
  readonly #deps: GatewayDeps;
  readonly #admission: Admission;
  readonly #sockets = new WebSocketServer(socketOptions);
  readonly #sessions = new Map<WebSocket, Session>();
  /** Since the last look. */
  readonly #unpacedFrames = new Map<WebSocket, number>();
  /** Of connections that are gone: their last frames are still to be read. */
  readonly #leaving = new Set<PacedFrames>();
  readonly #unread: UnreadTelling;
  #timer: Timer;
  #closing = false;

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
    this.#admission = new Admission(deps.admission ?? defaultAdmission, deps.clock);
    this.#unread = new UnreadTelling(deps);
    this.#timer = onBeat(deps.clock, inspectMs, () => this.#inspect());
  }

  metrics(): readonly MetricFamily[] {
    const pending = [...this.#sessions.values()].reduce((sum, session) => sum + session.pending, 0);
    const { counters, allowances } = this.#deps;
    return [...counters.families({ connections: this.#sessions.size, pending }), ...allowances.families()];
  }

  attach(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => this.#upgrade(request, socket, head));
  }

  /** Asks every agent to come back a little later, each at another time, and waits until they are gone. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#timer.cancel();
    const gone = [...this.#sessions.keys()].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
    for (const session of this.#sessions.values()) {
      const reconnectAfterMs = drainFloorMs + Math.floor(this.#deps.random() * drainSpreadMs);
      session.send({ type: 'drain', reconnectAfterMs });
      session.close(closeCodes.draining, 'the collector stops');
    }
    for (const frames of this.#leaving) frames.drop();
    const deadline = setTimeout(() => {
      for (const socket of this.#sessions.keys()) socket.terminate();
    }, closeWithinMs);
    await Promise.all(gone);
    clearTimeout(deadline);
    this.#sockets.close();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Without a listener an error of a connection that is being refused would end the process.
    socket.on('error', () => socket.destroy());
    // First of all: who shows no token learns nothing, not even what there is.
    const visitor = this.#deps.doorkeeper.admit(request, 'agent');
    if ('error' in visitor) return this.#turnAway(socket, visitor);
    const path = (request.url ?? '').split('?')[0];
    if (path !== agentPath) return this.#refuse(socket, 'not-found', `agents connect to ${agentPath}, not to ${path}`);
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    if (!offered.includes(subprotocol)) {
      return this.#refuse(socket, 'protocol', `this collector speaks ${subprotocol}`, { 'Sec-WebSocket-Protocol': subprotocol });
    }
    if (this.#closing) return this.#later(socket, new RelightError('overloaded', 'the collector stops'));
    const place = this.#admission.admit(visitor, () => {
      this.#deps.counters.refused('overloaded');
      this.#tooMany(visitor, `more than ${underWayMax} connections at once have not said hello`);
      socket.destroy();
    });
    if (place === 'of-all') return this.#later(socket, new RelightError('overloaded', 'too many agents come at once'));
    if (place === 'of-host') return this.#later(socket, this.#tooMany(visitor, 'somebody comes too often'));
    // Behind admission: to judge and to write down what somebody asks costs as much as his hello.
    const refused = this.#judgePreflight(request, visitor);
    if (refused !== null) {
      place.done(false);
      return refuse(socket, refused, {});
    }
    socket.once('close', () => place.done(false));
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#open(webSocket, visitor, place));
  }

  /** Null: nobody only asks, or he would be taken. */
  #judgePreflight(request: IncomingMessage, visitor: Visitor): RelightError | null {
    const asked = decodePreflight(request.headers[preflightHeader]);
    const verdict = asked === null ? null : this.#deps.fleet.wouldTake(visitor.token, asked);
    if (asked === null || verdict === null || verdict.accepted) return null;
    const code = verdict.code === closeCodes.unauthorized ? 'unauthorized' : 'forbidden';
    const error = new RelightError(code, verdict.reason, { advice: verdict.advice });
    this.#deps.counters.refused(code);
    this.#writeDown(visitor, error, asked.host);
    return error;
  }

  #later(socket: Duplex, error: RelightError): void {
    this.#deps.counters.refused('overloaded');
    refuse(socket, error, { 'Retry-After': String(1 + Math.floor(this.#deps.random() * 5)) });
  }

  /** No honest agent does that: somebody is to hear of it. */
  #tooMany(visitor: Visitor, what: string): RelightError {
    const error = new RelightError('overloaded', `${what} with the token of ${visitor.token.host}`, {
      advice: 'An agent dials seldom twice in a second: look what else has this token, and revoke it.',
    });
    this.#writeDown(visitor, error);
    return error;
  }

  #refuse(socket: Duplex, code: Refusal, detail: string, headers: Record<string, string> = {}): void {
    this.#deps.counters.refused(code);
    refuse(socket, new RelightError(code, detail), headers);
  }

  #turnAway(socket: Duplex, { error, address, token, retryAfter }: Refused): void {
    this.#deps.counters.refused(error.code as Refusal);
    if (token !== null) this.#writeDown({ token, address }, error);
    // One that was valid once: its host is not down, its agent is kept out.
    if (token?.kind === 'agent' && token.host !== null && error.code === 'unauthorized')
      this.#deps.fleet.helloRefused(token, { code: 'unauthorized', reason: error.message, written: true, greeting: null });
    const headers: Record<string, string> = error.code === 'unauthorized' ? { 'WWW-Authenticate': 'Bearer' } : {};
    refuse(socket, error, retryAfter === undefined ? headers : { ...headers, 'Retry-After': String(retryAfter) });
  }

  #helloRefused(visitor: Visitor, refusal: HelloRefusal): void {
    const { code, reason, written, greeting } = refusal;
    this.#deps.counters.refused(code);
    // Also one that the fleet has written down keeps a host's agent out, when the token says which host that is.
    if (!written || code === 'unauthorized') this.#deps.fleet.helloRefused(visitor.token, { ...refusal, ...strangerIn(visitor, refusal) });
    if (written) return;
    const { host = null, version = null } = greeting ?? {};
    const whose = host === null ? '' : `${host}${version === null ? '' : ` (version ${version})`}: `;
    this.#writeDown(visitor, new RelightError(code, `${whose}${reason}`), host);
  }

  /** `target`: the host that it is about. */
  #writeDown(visitor: Visitor, error: RelightError, target: string | null = null): void {
    const { refusals, warn } = this.#deps;
    const { token, address } = visitor;
    // What somebody else did wrong: where in this program it was noticed helps nobody.
    delete error.stack;
    const whose = `${token.kind} token ${token.id}${token.host === null ? '' : ` of ${token.host}`}`;
    refusals.write(visitor, { action: 'agent.connect', target: target ?? token.host }, error.message).then(
      (worth) => {
        if (worth) warn(`an agent at ${address} was refused: ${error.message} (${whose})`, error);
      },
      (thrown: unknown) => warn(`an agent at ${address} was refused, which cannot be written down`, toRelightError(thrown)),
    );
  }

  #open(webSocket: WebSocket, visitor: Visitor, place: Place): void {
    const { token, address } = visitor;
    const { store, fleet, clock, heartbeatMs, warn, counters, revocations, allowances, pace, protocols = ownProtocols } = this.#deps;
    counters.opened();
    const frames = new PacedFrames({
      clock,
      socket: webSocket,
      handle: (data, binary) => session.receive(data, binary),
      late: (data) => {
        // Lost at the stop, it would be a death that the next collector tells of.
        const leaves = this.#closing ? goodbyeIn(data) : null;
        if (leaves !== null) fleet.goodbye(session, leaves);
      },
      spend: (bytes) => pace.spend(session.host, bytes),
    });
    let broken: string | null = null;
    const socket = agentSocket(webSocket, frames, () => {
      broken = this.#unread.ended(session.host, address);
    });
    const common = { store: metered(store, allowances), clock, heartbeatMs, warn, protocols };
    const refused = (refusal: HelloRefusal): void => this.#helloRefused(visitor, refusal);
    const handshakeDone = (accepted: boolean): void => place.done(accepted);
    const session = new Session({ id: randomUUID(), token, address, socket, owner: fleet, handshakeDone, refused, ...common });
    this.#sessions.set(webSocket, session);
    const held = revocations.hold({ token, end: (reason) => session.close(closeCodes.unauthorized, reason) });
    webSocket.on('message', (data, binary) => {
      const frame = toBuffer(data);
      counters.received(frame.length, binary);
      const late = frames.dropped;
      frames.push(frame, binary);
      if (late) unpaced('frames after its connection was ended');
    });
    const unpaced = (what: string): void => {
      if (!this.#isFlood(webSocket)) return;
      broken = `its agent sent more than ${unpacedFramesMax} ${what} within a second`;
      counters.refused('protocol');
      this.#writeDown(visitor, new RelightError('protocol', broken));
      socket.terminate();
    };
    webSocket.on('ping', () => unpaced('pings and pongs'));
    webSocket.on('pong', () => {
      session.receivePong();
      unpaced('pings and pongs');
    });
    webSocket.on('error', (error) => {
      broken ??= error.message;
    });
    webSocket.on('close', (code, reason) => {
      held.dispose();
      this.#sessions.delete(webSocket);
      this.#leaving.add(frames);
      frames.end(() => {
        this.#leaving.delete(frames);
        session.socketClosed(broken ?? closeText(code, reason.toString()));
      });
    });
  }

  /** Told once: what was read along with the last frame comes all the same. */
  #isFlood(webSocket: WebSocket): boolean {
    const count = (this.#unpacedFrames.get(webSocket) ?? 0) + 1;
    this.#unpacedFrames.set(webSocket, count);
    return count === unpacedFramesMax + 1;
  }

  #inspect(): void {
    this.#unpacedFrames.clear();
    const { clock, fleet, allowances, pace } = this.#deps;
    for (const session of this.#sessions.values()) if (!fleet.sessions().has(session)) session.pulse(clock.monotonic());
    allowances.forget();
    pace.forget();
    this.#unread.forget();
    this.#admission.forget();
    this.#timer = onBeat(clock, inspectMs, () => this.#inspect());
  }
}

/** A token for one host that is valid is refused for who comes with it alone. */
function strangerIn({ token, address }: Visitor, { code, greeting }: HelloRefusal): Pick<HelloRefusal, 'stranger'> {
  if (code !== 'unauthorized' || token.host === null) return {};
  return { stranger: { host: greeting?.host ?? token.host, address, tokenId: token.id } };
}

function toBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

function closeText(code: number, reason: string): string {
  if (code === 1006) return 'the connection broke without a goodbye';
  return reason === '' ? `the agent closed the connection without a goodbye (${code})` : `${reason} (${code})`;
}

function refuse(socket: Duplex, error: RelightError, headers: Record<string, string>): void {
  const body = problem(error);
  const text = Buffer.from(JSON.stringify(body));
  const lines = Object.entries({
    Connection: 'close',
    'Content-Type': 'application/problem+json',
    'Content-Length': String(text.length),
    ...headers,
  });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  // An upgraded socket has no limits of time any more: whoever never closes it would keep it for ever, without any token.
  socket.once('finish', () => socket.destroy());
  socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 ${body.status} ${STATUS_CODES[body.status]}\r\n${head}\r\n`), text]));
}
