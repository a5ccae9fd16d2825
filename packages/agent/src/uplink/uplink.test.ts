import { describe, expect, test } from 'vitest';
import { closeReasonBytesMax } from '@relight/shared/close-reason';
import { RelightError } from '@relight/shared/errors';
import type { AgentEvent, NewAgentEvent } from '@relight/shared/event';
import { packBlock } from '@relight/shared/log-block';
import type { SegmentKey } from '@relight/shared/log-stream';
import { ManualClock } from '@relight/shared/manual-clock';
import {
  closeCodes,
  eventsPerMessageMax,
  frameBytesMax,
  inFlightMax,
  type AgentMessage,
  type CollectorMessage,
  type IncidentAck,
} from '@relight/shared/protocol';
import { selfPortrait } from '../../../../test/support/self-portrait.ts';
import type { IncidentLane, IncidentMessage } from '../incidents/delivery.ts';
import type { Committed, LogFrame, LogLane } from '../logs/log-lane.ts';
import type { Outbox, OutboxPosition } from '../outbox/outbox.ts';
import { collectorUrl, parseRetryAfterMs, type Closing, type Socket, type SocketListener } from './socket.ts';
import { Uplink, type UplinkOptions } from './uplink.ts';

class MemoryOutbox implements Outbox {
  epoch = 'epoch-1';
  readonly events: AgentEvent[] = [];
  acknowledged = 0;
  /** Of an earlier life. */
  left: { readonly epoch: string; readonly from: number; readonly to: number } | null = null;
  /** What comes later is not durable yet. */
  durable = Infinity;
  readonly #listeners = new Set<() => void>();

  get lastSeq(): number {
    return this.events.length;
  }
  get sending(): OutboxPosition {
    return this.left === null ? { epoch: this.epoch, seq: this.acknowledged } : { epoch: this.left.epoch, seq: this.left.from - 1 };
  }
  get pending(): number {
    return this.events.length - this.acknowledged;
  }
  append(event: NewAgentEvent): AgentEvent {
    const numbered = { ...event, seq: this.events.length + 1 };
    this.events.push(numbered);
    for (const listener of this.#listeners) listener();
    return numbered;
  }
  read(afterSeq: number, count: number): readonly AgentEvent[] {
    if (this.left !== null) {
      const { from, to } = this.left;
      const event = { at: 0, kind: 'host.notice', severity: 'info', message: '', data: {} } as const;
      const events = Array.from({ length: to - from + 1 }, (_, index) => ({ ...event, seq: from + index }));
      return events.filter(({ seq }) => seq > afterSeq).slice(0, count);
    }
    return this.events.filter(({ seq }) => seq > Math.max(afterSeq, this.acknowledged) && seq <= this.durable).slice(0, count);
  }
  acknowledge({ epoch = this.epoch, seq }: Partial<OutboxPosition> & Pick<OutboxPosition, 'seq'>): void {
    if (epoch === this.left?.epoch) {
      if (seq >= this.left.to) this.left = null;
    } else if (seq > this.lastSeq) this.epoch = 'epoch-2';
    else this.acknowledged = Math.max(this.acknowledged, seq);
  }
  onAppend(listener: () => void): { dispose(): void } {
    this.#listeners.add(listener);
    return { dispose: () => void this.#listeners.delete(listener) };
  }
  close(): void {
    this.#listeners.clear();
  }
}

const segment: SegmentKey = { workload: 'worker', generation: 1, source: 'process', run: '1' };

class ScriptedLane implements LogLane {
  frames: LogFrame[] = [];
  active = false;
  readonly calls: string[] = [];
  listener: () => void = () => undefined;

  named: SegmentKey[] = [segment];

  segments(): SegmentKey[] {
    return this.named;
  }
  resume(committed: readonly Committed[]): void {
    this.active = true;
    this.calls.push(`resume ${committed.map(({ offset }) => offset).join(',')}`);
  }
  suspend(): void {
    this.active = false;
    this.calls.push('suspend');
  }
  nextFrame(): LogFrame | null {
    return this.frames.shift() ?? null;
  }
  committed(_segment: SegmentKey, offset: number, rewind: boolean): void {
    this.calls.push(`committed ${offset}${rewind ? ' rewind' : ''}`);
  }
  watch(selectors: readonly object[]): void {
    this.calls.push(`watch ${JSON.stringify(selectors)}`);
  }
  flush(): void {
    this.calls.push('flush');
  }
  onReady(listener: () => void): { dispose(): void } {
    this.listener = listener;
    return { dispose: () => (this.listener = () => undefined) };
  }
  lagBytes(): number {
    return 7;
  }
}

class ListedIncidents implements IncidentLane {
  readonly messages: IncidentMessage[] = [];
  readonly acknowledgements: IncidentAck[] = [];
  listener: () => void = () => undefined;

  add(id: string): void {
    this.messages.push({ type: 'incident-evidence', incident: id, item: { name: 'n', title: 't', at: 0, bytes: 1 }, body: '' });
    this.listener();
  }
  next(): IncidentMessage | null {
    return this.messages[0] ?? null;
  }
  acknowledged(ack: IncidentAck): void {
    this.acknowledgements.push(ack);
    this.messages.shift();
  }
  onReady(listener: () => void): { dispose(): void } {
    this.listener = listener;
    return { dispose: () => (this.listener = () => undefined) };
  }
}

class FakeSocket implements Socket {
  bufferedAmount = 0;
  readonly sent: (AgentMessage | { type: 'block' })[] = [];
  pings = 0;
  closedWith: number | null = null;
  over = false;
  readonly listener: SocketListener;

  constructor(listener: SocketListener) {
    this.listener = listener;
  }
  send(data: string | Uint8Array): void {
    this.sent.push(typeof data === 'string' ? (JSON.parse(data) as AgentMessage) : { type: 'block' });
  }
  ping(): void {
    this.pings += 1;
  }
  close(code: number, reason: string): void {
    // As `ws` does.
    if (Buffer.byteLength(reason) > closeReasonBytesMax) throw new RangeError('The message must not be greater than 123 bytes');
    this.closedWith = code;
  }
  terminate(): void {
    this.end({ code: 1006, reason: '' });
  }
  end(closing: Closing): void {
    if (this.over) return;
    this.over = true;
    this.listener.closed(closing);
  }
  say(message: CollectorMessage): void {
    this.listener.alive();
    this.listener.text(JSON.stringify(message));
  }
  types(): string[] {
    return this.sent.map(({ type }) => type);
  }
}

class World {
  readonly clock = new ManualClock();
  readonly outbox = new MemoryOutbox();
  readonly lane = new ScriptedLane();
  readonly incidents = new ListedIncidents();
  readonly sockets: FakeSocket[] = [];
  readonly warnings: string[] = [];
  /** What stands beside each. */
  readonly warned: unknown[] = [];
  readonly actions: string[] = [];
  readonly uplink: Uplink;
  failToOpen: Error | null = null;

  constructor(options: Partial<UplinkOptions> = {}) {
    const warn = (data: unknown, text: string): void => {
      this.warned.push(data);
      this.warnings.push(text);
    };
    this.uplink = new Uplink({
      spec: { url: 'http://collector.example:7460', tokenFile: null, caFile: null, fingerprint: null, joinedFile: null },
      clock: this.clock,
      random: () => 0.5,
      logger: { info: () => undefined, warn, error: warn } as unknown as UplinkOptions['logger'],
      outbox: this.outbox,
      logs: this.lane,
      incidents: this.incidents,
      ...selfPortrait(),
      onAction: (action) => {
        this.actions.push(action.id);
        return Promise.resolve({ ok: true, message: 'done' });
      },
      openSocket: (_spec, listener) => {
        if (this.failToOpen !== null) throw this.failToOpen;
        const socket = new FakeSocket(listener);
        this.sockets.push(socket);
        return socket;
      },
      ...options,
    });
  }

  get socket(): FakeSocket {
    return this.sockets.at(-1) as FakeSocket;
  }

  dial(): FakeSocket {
    this.uplink.start();
    this.clock.advance(250);
    this.socket.listener.opened();
    return this.socket;
  }

  connect(lastEventSeq = 0): FakeSocket {
    const socket = this.dial();
    this.welcome(lastEventSeq);
    return socket;
  }

  welcome(lastEventSeq = 0, heartbeatMs = 10_000): void {
    const segments = [{ segment, offset: 3 }];
    this.socket.say({
      type: 'welcome',
      protocol: 1,
      sessionId: 's',
      heartbeatMs,
      lastEventSeq,
      segments,
      watch: [],
      incidents: true,
    });
  }

  append(count: number, data = {}): void {
    for (let index = 0; index < count; index += 1) {
      this.outbox.append({ at: 0, kind: 'host.notice', severity: 'info', message: `event ${index}`, data });
    }
  }
}

const block = (from: number, to: number): LogFrame => ({
  kind: 'block',
  block: packBlock(segment, from, to, [{ offset: from, at: 0, approx: false, stream: 'both', bytes: Buffer.from('x'), truncated: false }]),
});

describe('greeting and lanes', () => {
  test('hello first and alone; then heartbeat, events, logs', () => {
    const world = new World();
    world.append(3);
    world.lane.frames = [block(3, 5)];
    const socket = world.dial();
    expect(socket.types()).toEqual(['hello']);
    world.welcome(1);
    expect(socket.types()).toEqual(['hello', 'heartbeat', 'events', 'block']);
    expect(world.lane.calls[0]).toBe('resume 3');
    expect(world.outbox.acknowledged).toBe(1);
    expect(socket.sent[2]).toMatchObject({ events: [{ seq: 2 }, { seq: 3 }] });
  });

  test.each([1, 250])('however many logs wait, with names of %i characters, hello and its answer are frames', (length) => {
    const world = new World();
    const file = (index: number): SegmentKey => ({ ...segment, source: `file:${'n'.repeat(length)}`, run: String(index) });
    world.lane.named = Array.from({ length: 20_000 }, (_, index) => file(index));
    const [hello] = world.dial().sent;
    const said = hello?.type === 'hello' ? hello.segments : [];
    expect(said.length).toBeGreaterThan(1_000);
    expect(said).toEqual(world.lane.named.slice(0, said.length));
    expect(JSON.stringify(hello).length).toBeLessThan(frameBytesMax);
    const answer = said.map((named) => ({ segment: named, offset: Number.MAX_SAFE_INTEGER }));
    expect(JSON.stringify({ type: 'welcome', segments: answer }).length).toBeLessThan(frameBytesMax - 1_024);
  });

  test('four messages a lane at most; events go on while logs wait', () => {
    const world = new World();
    world.lane.frames = Array.from({ length: 9 }, (_, index) => block(3 + index, 4 + index));
    const socket = world.connect();
    world.clock.advance(100);
    expect(socket.types().filter((type) => type === 'block')).toHaveLength(inFlightMax);
    world.append(eventsPerMessageMax * 6);
    expect(socket.types().filter((type) => type === 'events').length).toBeLessThanOrEqual(inFlightMax);
    socket.say({ type: 'ack', events: { epoch: 'epoch-1', seq: 1 }, segments: [{ segment, offset: 5, rewind: false }] });
    world.clock.advance(100);
    expect(socket.types().filter((type) => type === 'block')).toHaveLength(inFlightMax + 2);
    expect(world.lane.calls).toContain('committed 5');
  });

  test.each(['workload', 'source', 'run'])('a segment whose %s is no text ends the connection, not the agent', (field) => {
    const world = new World();
    const socket = world.connect();
    const broken = { ...segment, [field]: 'file:\ud800' };
    socket.say({ type: 'ack', segments: [{ segment: broken, offset: 5, rewind: false }] });
    expect(socket.closedWith).toBe(closeCodes.protocolError);
    expect(world.lane.calls.filter((call) => call.startsWith('committed'))).toEqual([]);
  });

  test('a welcome without its fields ends the connection, not the agent, however much there is to say of it', () => {
    const world = new World();
    const socket = world.dial();
    socket.listener.text('{"type":"welcome"}');
    expect(socket.closedWith).toBe(closeCodes.protocolError);
    world.clock.advance(1_000);
    expect(world.uplink.state().lastError).toContain('✖');
    world.clock.advance(60_000);
    expect(world.sockets.length).toBeGreaterThan(1);
  });

  test('one incident at a time, the same again after a break; events and logs go on meanwhile', () => {
    const world = new World();
    world.incidents.add('incident-1');
    world.incidents.add('incident-2');
    const socket = world.connect();
    const sent = (on: FakeSocket): unknown[] =>
      on.sent.flatMap((message) => (message.type === 'incident-evidence' ? [message.incident] : []));
    expect(sent(socket)).toEqual(['incident-1']);
    world.append(1);
    world.lane.frames = [block(3, 5)];
    world.lane.listener();
    world.clock.advance(100);
    expect(socket.types()).toEqual(expect.arrayContaining(['events', 'block']));
    expect(sent(socket)).toEqual(['incident-1']);
    socket.end({ code: 1006, reason: '' });
    world.clock.advance(1_500);
    world.socket.listener.opened();
    world.welcome();
    expect(sent(world.socket)).toEqual(['incident-1']);
    world.socket.say({ type: 'ack', segments: [], incident: { id: 'incident-1', evidence: 'n' } });
    expect(sent(world.socket)).toEqual(['incident-1', 'incident-2']);
    expect(world.incidents.acknowledgements).toEqual([{ id: 'incident-1', evidence: 'n' }]);
  });

  test('large events are spread over messages of less than 256 KiB', () => {
    const world = new World();
    const socket = world.connect();
    world.outbox.events.push(
      ...Array.from({ length: 10 }, (_, index) => ({
        seq: index + 1,
        at: 0,
        kind: 'host.notice' as const,
        severity: 'info' as const,
        message: '',
        data: { x: 'y'.repeat(60_000) },
      })),
    );
    world.lane.listener();
    world.clock.advance(1);
    const sizes = socket.sent.filter(({ type }) => type === 'events').map((message) => JSON.stringify(message).length);
    expect(sizes).toHaveLength(4);
    expect(Math.max(...sizes)).toBeLessThan(256 * 1024);
  });

  test('a full socket stops the logs, and neither events nor heartbeats', () => {
    const world = new World();
    const socket = world.connect();
    socket.bufferedAmount = 2 * 1024 ** 2;
    world.lane.frames = [block(3, 5)];
    world.lane.listener();
    world.append(1);
    world.clock.advance(11_000);
    expect(socket.types()).toContain('events');
    expect(socket.types().filter((type) => type === 'heartbeat')).toHaveLength(2);
    expect(socket.types()).not.toContain('block');
    socket.bufferedAmount = 0;
    world.clock.advance(100);
    expect(socket.types()).toContain('block');
  });

  test('heartbeats do not pile up in a socket that does not get rid of them; the latest goes when there is room', () => {
    const world = new World();
    const socket = world.connect();
    const beats = (): number => socket.types().filter((type) => type === 'heartbeat').length;
    const before = beats();
    socket.bufferedAmount = 5 * 1024 ** 2;
    world.clock.advance(40_000);
    expect(beats()).toBe(before);
    socket.bufferedAmount = 0;
    world.clock.advance(100);
    expect(beats()).toBe(before + 1);
  });

  test('changes of status are sent at once, at most one per 100 ms', () => {
    const world = new World();
    const socket = world.connect();
    world.clock.advance(1_000);
    const beats = (): number => socket.types().filter((type) => type === 'heartbeat').length;
    expect(beats()).toBe(1);
    for (let index = 0; index < 50; index += 1) world.uplink.statusChanged();
    world.clock.advance(0);
    expect(beats()).toBe(2);
    for (let index = 0; index < 50; index += 1) world.uplink.statusChanged();
    world.clock.advance(99);
    expect(beats()).toBe(2);
    world.clock.advance(1);
    expect(beats()).toBe(3);
  });

  test('however often a collector asks for heartbeats, they are at most five a second', () => {
    const world = new World();
    const socket = world.dial();
    world.welcome(0, 1);
    for (let ms = 0; ms < 10_000; ms += 10) world.clock.advance(10);
    const beats = socket.types().filter((type) => type === 'heartbeat').length;
    expect(beats).toBeGreaterThan(45);
    expect(beats).toBeLessThanOrEqual(51);
  });

  test('what an earlier life has left goes first, in its epoch, and then, in the same session, the epoch of this one', () => {
    const world = new World();
    const sentEvents = (socket: FakeSocket) =>
      socket.sent.flatMap((sent) => (sent.type === 'events' ? [[sent.epoch, ...sent.events.map(({ seq }) => seq)]] : []));
    world.outbox.left = { epoch: 'epoch-0', from: 4, to: 6 };
    world.append(1);
    const socket = world.dial();
    expect(socket.sent[0]).toMatchObject({ type: 'hello', epoch: 'epoch-1', lastEventSeq: 1 });
    world.welcome(0);
    expect(sentEvents(socket)).toEqual([['epoch-0', 4, 5, 6]]);
    // It has had more of that than this life knows, which is no offence.
    socket.say({ type: 'ack', events: { epoch: 'epoch-0', seq: 9 }, segments: [] });
    expect(sentEvents(socket)).toEqual([
      ['epoch-0', 4, 5, 6],
      ['epoch-1', 1],
    ]);
    socket.say({ type: 'ack', events: { epoch: 'epoch-1', seq: 1 }, segments: [] });
    expect(world.outbox.acknowledged).toBe(1);
    expect(socket.closedWith).toBeNull();
  });

  test('an outbox that begins a new epoch, for the collector has numbers that it has never given, goes on in the same session', () => {
    const world = new World();
    world.append(1);
    const socket = world.connect(5);
    expect(socket.closedWith).toBeNull();
    expect(socket.sent.at(-1)).toMatchObject({ type: 'events', epoch: 'epoch-2', events: [{ seq: 1 }] });
    socket.say({ type: 'ack', events: { epoch: 'epoch-2', seq: 1 }, segments: [] });
    expect(world.outbox.acknowledged).toBe(1);
  });
});

describe('life', () => {
  test('silence for 45 s ends the connection although it looks open; a pong is life', () => {
    const world = new World();
    const socket = world.connect();
    for (let index = 0; index < 5; index += 1) {
      world.clock.advance(15_000);
      socket.listener.alive();
    }
    expect(socket.over).toBe(false);
    world.clock.advance(45_500);
    expect(socket.over).toBe(true);
    expect(world.uplink.state().lastError).toContain('45 s');
  });

  test('a collector that speaks by itself is not asked whether it lives; one that does not is', () => {
    const world = new World();
    const socket = world.connect();
    for (let index = 0; index < 9; index += 1) {
      world.clock.advance(10_000);
      socket.listener.alive();
    }
    expect(socket.pings).toBe(0);
    world.clock.advance(15_000);
    expect(socket.pings).toBe(1);
    world.clock.advance(15_000);
    expect(socket.pings).toBe(2);
  });

  test('a collector that accepts and says nothing is left after 10 s', () => {
    const world = new World();
    const socket = world.dial();
    world.clock.advance(10_000);
    expect(socket.over).toBe(true);
    world.clock.advance(30_000);
    expect(world.sockets.length).toBeGreaterThan(1);
  });

  test('what has happened and is not committed waits, also while a slow disk has not even taken it', () => {
    const world = new World();
    world.connect();
    const lag = (): number => world.uplink.state().lagEvents;
    expect(lag()).toBe(0);
    world.outbox.durable = 0;
    for (const message of ['one', 'two']) world.outbox.append({ at: 1, kind: 'host.notice', severity: 'info', message, data: {} });
    expect(lag()).toBe(2);
    world.outbox.durable = 2;
    expect(lag()).toBe(2);
    world.outbox.acknowledge({ seq: 1 });
    expect(lag()).toBe(1);
    world.outbox.acknowledge({ seq: 2 });
    expect(lag()).toBe(0);
  });

  test('connections that were welcomed are counted, and tries that were not', () => {
    const world = new World();
    world.failToOpen = new Error('getaddrinfo ENOTFOUND collector.example');
    world.uplink.start();
    world.clock.advance(250);
    expect(world.uplink.counts).toEqual({ connects: 0, failures: 1 });
    world.failToOpen = null;
    nextDialMs(world);
    world.socket.end({ code: 1006, reason: 'refused' });
    expect(world.uplink.counts).toEqual({ connects: 0, failures: 2 });
    nextDialMs(world);
    world.socket.listener.opened();
    world.welcome();
    expect(world.uplink.counts).toEqual({ connects: 1, failures: 2 });
    world.socket.end({ code: 1006, reason: 'connection reset' });
    expect(world.uplink.counts).toEqual({ connects: 1, failures: 2 });
  });

  test('one warning per outage and kind of trouble, however long it lasts', () => {
    const world = new World();
    world.failToOpen = new Error('getaddrinfo ENOTFOUND collector.example');
    world.uplink.start();
    world.clock.advance(600_000);
    expect(world.warnings).toHaveLength(1);
    expect(world.uplink.state()).toMatchObject({
      connected: false,
      lastError: 'getaddrinfo ENOTFOUND collector.example',
      lastAdvice: 'Check its address, network and certificate.',
    });
    world.failToOpen = null;
    world.clock.advance(30_000);
    world.socket.listener.opened();
    world.welcome();
    expect(world.uplink.state()).toMatchObject({ connected: true, lastError: null, lastAdvice: null });
    world.socket.end({ code: 1006, reason: 'connection reset' });
    expect(world.warnings).toHaveLength(2);
  });

  const nextDialMs = (world: World): number => {
    const before = world.sockets.length;
    for (let ms = 0; ms < 700_000; ms += 100) {
      if (world.sockets.length > before) return ms;
      world.clock.advance(100);
    }
    throw new Error('it never dialled again');
  };

  test('a refused token, and another agent with this id, are tried again slowly', () => {
    for (const closing of [
      { code: 1006, reason: 'HTTP 401', status: 401, advice: 'Join anew.' },
      { code: closeCodes.superseded, reason: '', advice: 'Stop one.' },
    ]) {
      const world = new World();
      world.dial().end(closing);
      expect(world.uplink.state()).toMatchObject({ connected: false, lastAdvice: closing.advice });
      expect(nextDialMs(world)).toBeGreaterThanOrEqual(27_000);
      expect(world.warnings).toHaveLength(1);
    }
  });

  test('a token that is revoked on a connection that stood: what to do is what the collector says of the next one, not what operators do', () => {
    const world = new World();
    world.connect().end({ code: closeCodes.unauthorized, reason: 'the token was revoked' });
    expect(world.warned).toMatchObject([{ code: 'unauthorized', advice: expect.stringContaining('token create --kind join') as string }]);
  });

  test('503 with Retry-After, and drain, are honoured', () => {
    const refused = new World();
    refused.dial().end({ code: 1006, reason: 'HTTP 503', status: 503, retryAfterMs: 7_000 });
    expect(nextDialMs(refused)).toBeGreaterThanOrEqual(7_000);
    const { lastAdvice } = refused.uplink.state();
    expect(lastAdvice).toMatch(/^Nothing is to be done/);
    const drained = new World();
    const socket = drained.connect();
    socket.say({ type: 'drain', reconnectAfterMs: 5_000 });
    expect(socket.closedWith).toBe(closeCodes.goodbye);
    socket.end({ code: 1000, reason: '' });
    expect(drained.lane.calls.at(-1)).toBe('suspend');
    expect(nextDialMs(drained)).toBeGreaterThanOrEqual(5_000);
    expect(drained.uplink.state()).toMatchObject({ lastAdvice });
  });

  test('a welcome of a later protocol, of whatever form, says who has to be upgraded; a broken one of this protocol is broken', () => {
    const [late, broken] = [9, 1].map((protocol) => {
      const world = new World();
      const socket = world.dial();
      socket.listener.text(JSON.stringify({ type: 'welcome', protocol, session: { of: 'another form' } }));
      const closedWith = socket.closedWith;
      socket.end({ code: closedWith ?? 0, reason: '' });
      return { closedWith, error: world.uplink.state().lastError };
    });
    expect(late).toEqual({
      closedWith: closeCodes.versionsApart,
      error: 'the agent speaks protocol 1, the collector 9: upgrade the agent',
    });
    expect(broken?.closedWith).toBe(closeCodes.protocolError);
  });

  test('what the collector says of the clock is known with its age, over the end of the connection, until the clock is set', () => {
    const world = new World();
    const socket = world.connect();
    expect(world.uplink.state().clock).toBeNull();
    socket.say({ type: 'clock', skewMs: 3_200 });
    world.clock.advance(12_000);
    expect(world.uplink.state().clock).toEqual({ skewMs: 3_200, ageMs: 12_000 });
    socket.say({ type: 'clock', skewMs: -40 });
    socket.end({ code: 1006, reason: '' });
    world.clock.advance(3_600_000);
    expect(world.uplink.state()).toMatchObject({ connected: false, clock: { skewMs: -40, ageMs: 3_600_000 } });
    world.clock.jumpWall(-3_000);
    expect(world.uplink.state().clock).toBeNull();
  });

  test('another host with the same machine id is told once, and for as long as it tries', () => {
    const world = new World();
    const socket = world.connect();
    for (let i = 0; i < 2; i += 1) socket.say({ type: 'machine-id-shared', host: 'host-b', address: '10.0.0.2' });
    expect(world.uplink.state().machineIdSharedWith).toEqual({ host: 'host-b', address: '10.0.0.2' });
    expect(world.warned).toMatchObject([{ code: 'conflict', advice: expect.stringContaining('systemd-machine-id-setup') as string }]);
    for (let i = 0; i < 18; i += 1) {
      world.clock.advance(10_000);
      socket.listener.alive();
    }
    expect(world.uplink.state().machineIdSharedWith).toBeNull();
  });

  test('a host that is refused for its machine id is told how it gets one of its own', () => {
    const world = new World();
    world.connect().end({ code: closeCodes.cloned, reason: 'same machine id (/etc/machine-id) as host-a at 10.0.0.1, which is connected' });
    expect(world.warned).toMatchObject([{ code: 'conflict', advice: expect.stringContaining('systemd-machine-id-setup') as string }]);
  });

  test.each(['1e300', '0.5', '-6307200000001', '"3"', '[]', 'null'])('a skew of %s is none, and ends no connection', (skewMs) => {
    const world = new World();
    const socket = world.connect();
    socket.listener.text(`{"type":"clock","skewMs":${skewMs}}`);
    socket.listener.text('{"type":"clock"}');
    expect(socket.closedWith).toBeNull();
    expect(world.uplink.state().clock).toBeNull();
  });

  test('a message that is not understood is ignored, one that is broken ends the session', () => {
    const world = new World();
    const socket = world.connect();
    socket.listener.text('{"type":"from-the-future","x":1}');
    expect(socket.closedWith).toBeNull();
    socket.listener.text('{"type":"ack","events":7}');
    expect(socket.closedWith).toBe(closeCodes.protocolError);
  });
});

describe('actions', () => {
  test('an answer that is ready before the next welcome does not come before it', async () => {
    const answered = Promise.withResolvers<{ ok: boolean; message: string }>();
    const world = new World({ onAction: () => answered.promise });
    const first = world.connect();
    first.say({ type: 'action', id: 'a', action: 'restart' });
    first.end({ code: 1006, reason: '' });
    world.clock.advance(10_000);
    world.socket.listener.opened();
    answered.resolve({ ok: true, message: 'done' });
    await new Promise(setImmediate); // every promise behind it has settled
    expect(world.sockets).toHaveLength(2);
    expect(world.socket.types()).toEqual(['hello']);
  });

  test('executed once per id, answered every time; a failure is an answer', async () => {
    const world = new World({
      onAction: (action) => {
        world.actions.push(action.id);
        return action.id === 'bad'
          ? Promise.reject(new RelightError('action-refused', 'no'))
          : Promise.resolve({ ok: true, message: 'done' });
      },
    });
    const socket = world.connect();
    for (const id of ['a', 'a', 'bad']) socket.say({ type: 'action', id, action: 'restart' });
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
    expect(world.actions).toEqual(['a', 'bad']);
    const results = socket.sent.filter(({ type }) => type === 'action-result');
    expect(results).toHaveLength(3);
    expect(results).toContainEqual({ type: 'action-result', id: 'bad', ok: false, message: 'no', code: 'action-refused' });
  });
});

describe('the end', () => {
  test('what is there is sent and acknowledged, then goodbye', async () => {
    const world = new World();
    const socket = world.connect();
    world.append(1);
    const stopped = world.uplink.stop('rebooting');
    expect(world.lane.calls).toContain('flush');
    expect(socket.types()).not.toContain('goodbye');
    socket.say({ type: 'ack', events: { epoch: 'epoch-1', seq: 1 }, segments: [] });
    expect(socket.sent.at(-1)).toEqual({ type: 'goodbye', reason: 'rebooting' });
    expect(socket.closedWith).toBe(closeCodes.goodbye);
    socket.end({ code: 1000, reason: '' });
    await stopped;
    world.clock.advance(600_000);
    expect(world.sockets).toHaveLength(1);
  });

  test('a collector that stops meanwhile acknowledges nothing any more, and still hears goodbye: the next one would call the host dead', async () => {
    const world = new World();
    const socket = world.connect();
    world.append(1);
    const stopped = world.uplink.stop('stopped');
    socket.say({ type: 'drain', reconnectAfterMs: 5_000 });
    expect(socket.sent.at(-1)).toEqual({ type: 'goodbye', reason: 'stopped' });
    expect(socket.closedWith).toBe(closeCodes.goodbye);
    socket.end({ code: 1000, reason: '' });
    await stopped;
  });

  test('a collector that does not answer delays it by 2.5 s at most; without one it ends at once', async () => {
    const world = new World();
    const socket = world.connect();
    world.append(1);
    const stopped = world.uplink.stop('stopped');
    world.clock.advance(2_000);
    expect(socket.types()).toContain('goodbye');
    world.clock.advance(500);
    await stopped;
    const alone = new World();
    alone.failToOpen = new Error('refused');
    alone.uplink.start();
    alone.clock.advance(5_000);
    await alone.uplink.stop('stopped');
    expect(alone.sockets).toHaveLength(0);
  });
});

test('addresses and Retry-After', () => {
  expect(collectorUrl('https://c.example:7460/base/')).toBe('wss://c.example:7460/base/agent/v1');
  expect(collectorUrl('ws://c.example')).toBe('ws://c.example/agent/v1');
  expect([parseRetryAfterMs('5'), parseRetryAfterMs('Wed, 21 Oct'), parseRetryAfterMs(undefined)]).toEqual([5_000, undefined, undefined]);
});
