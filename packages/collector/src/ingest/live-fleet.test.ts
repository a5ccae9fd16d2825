import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import type { Hello } from '@relight/shared/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { tokenRecord } from '../../../../test/support/token-record.ts';
import { Bus } from '../bus.ts';
import { readConfig } from '../config.ts';
import type { CollectorEvent, HostRecord } from '../store/store.ts';
import { Allowances } from './allowances.ts';
import { LiveFleet, type FleetDeps } from './live-fleet.ts';
import { Session, type AgentSocket } from './session.ts';

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const token = tokenRecord();

class MemoryStore implements Pick<FleetDeps['store'], keyof FleetDeps['store']> {
  readonly records = new Map<string, HostRecord>();
  readonly events: CollectorEvent[] = [];
  writes = 0;
  broken = false;

  hosts = () => [...this.records.values()];
  fenced = new Map<string, readonly string[]>();
  fencedAgents = () => [...this.fenced].flatMap(([host, agents]) => agents.map((agent) => ({ host, agent })));
  fenceAgents = async (host: string, agents: readonly string[]) => void this.fenced.set(host, agents);
  retireBefore = async () => [];
  closeIncidents = async () => ({ closed: [], rest: null });
  deleteHost = async (name: string) => {
    this.fenced.delete(name);
    return this.records.delete(name);
  };
  async putHost(record: HostRecord): Promise<void> {
    if (this.broken) throw new RelightError('store-failed', 'full');
    this.writes += 1;
    this.records.set(record.name, record);
  }
  async commitOwnEvent(event: CollectorEvent) {
    if (this.broken) throw new RelightError('store-failed', 'full');
    this.events.push(event);
    return { ...event, id: this.events.length, receivedAt: 0 };
  }
}

class FakeSocket implements AgentSocket {
  readonly sent: string[] = [];
  ended: { code: number; reason: string } | 'terminated' | null = null;
  pings = 0;
  send = (text: string) => void this.sent.push(text);
  ping = () => void (this.pings += 1);
  close = (code: number, reason: string) => void (this.ended ??= { code, reason });
  terminate = () => void (this.ended ??= 'terminated');
  pause = () => undefined;
  resume = () => undefined;
}

const { liveness: config } = readConfig(null);
let clock: ManualClock;
let store: MemoryStore;
let fleet: LiveFleet;

beforeEach(() => {
  clock = new ManualClock();
  store = new MemoryStore();
  fleet = makeFleet();
});
function makeFleet(more: Partial<FleetDeps> = {}): LiveFleet {
  return new LiveFleet({ store, bus: new Bus(), clock, config, refusals: { write: async () => true }, warn: () => undefined, ...more });
}
function connect(host: string, more: Partial<Hello> = {}, as = token): { socket: FakeSocket; session: Session } {
  const socket = new FakeSocket();
  const nothing = { lastEventSeq: () => 0, committedOffset: () => 0 } as never;
  const session = new Session({
    id: `s-${host}`,
    token: as,
    address: '10.0.0.1',
    socket,
    owner: fleet,
    store: nothing,
    clock,
    heartbeatMs: config.heartbeatMs,
    handshakeDone: () => undefined,
    refused: () => undefined,
    warn: () => undefined,
  });
  const hello: Hello = {
    type: 'hello',
    protocol: 1,
    agentId: `agent-of-${host}`,
    machineId: `m-${host}`,
    epoch: 'e',
    bootId: 'b',
    host,
    labels: {},
    version: '1',
    facts: {},
    remoteActions: true,
    at: clock.now(),
    lastEventSeq: 0,
    segments: [],
    ...more,
  };
  session.receive(Buffer.from(JSON.stringify(hello)), false);
  return { socket, session };
}
const beat = (session: Session) =>
  session.receive(Buffer.from(JSON.stringify({ type: 'heartbeat', at: clock.now(), workloads: [], engine: 'up' })), false);
/** Time in the steps in which a live process sees it. */
const pass = (ms: number, each: () => void = () => undefined) => {
  for (let left = ms; left > 0; left -= 100) {
    clock.advance(Math.min(100, left));
    each();
  }
};
const states = () => fleet.hosts().map(({ state }) => state);

describe('a token for any host', () => {
  it('brings so many hosts and no more; those that are known come back, and others come with tokens of their own', async () => {
    const refusals: string[] = [];
    fleet = makeFleet({
      hostsMax: 2,
      refusals: {
        async write(_visitor, { target }, reason) {
          refusals.push(`${target}: ${reason}`);
          return true;
        },
      },
    });
    const [first, second, third] = ['a', 'b', 'c'].map((host) => connect(host));
    expect([first?.socket.ended, second?.socket.ended]).toEqual([null, null]);
    const reason = 'the collector has 2 hosts; another one comes with a token for itself alone: relight-agent join';
    expect(third?.socket.ended).toEqual({ code: 4401, reason });
    expect(fleet.hosts().map(({ name }) => name)).toEqual(['a', 'b']);
    await settle();
    expect(refusals).toEqual([`c: ${reason}`]);
    expect([...store.records.keys()]).toEqual(['a', 'b']);

    expect(connect('a').socket.ended).toBeNull();
    // Renamed: as many as before.
    second?.session.socketClosed('');
    expect(connect('new-b', { agentId: 'agent-of-b', machineId: 'm-b' }).socket.ended).toBeNull();
    expect(fleet.hosts().map(({ name }) => name)).toEqual(['a', 'new-b']);
    expect(connect('c', {}, tokenRecord({ host: 'c' })).socket.ended).toBeNull();
  });
});

describe('the living fleet', () => {
  it('meets its deadlines: suspect at 25 s, dead at 60 s, on the monotonic clock alone', async () => {
    pass(config.restartGraceMs);
    connect('h');
    clock.jumpWall(10 * 3_600_000);
    pass(24_900);
    expect(states()).toEqual(['connected']);
    pass(600);
    expect(states()).toEqual(['suspect']);
    pass(34_000);
    expect(states()).toEqual(['suspect']);
    pass(1_000);
    expect(fleet.host('h')).toMatchObject({ state: 'dead', reason: expect.stringMatching(/^silent for 60 s; last known: nothing$/) });
    const back = connect('h');
    expect(states()).toEqual(['connected']);
    await settle();
    expect(store.events.map(({ kind }) => kind)).toEqual([
      'agent.connected',
      'host.suspect',
      'host.dead',
      'agent.connected',
      'host.recovered',
    ]);
    expect(back.socket.ended).toBeNull();
  });

  it('counts every message as a sign of life, and shows when the last one came', () => {
    pass(config.restartGraceMs);
    const { session } = connect('h');
    pass(20_000, () => session.receive(Buffer.from(JSON.stringify({ type: 'of a later version' })), false));
    expect(fleet.host('h')).toMatchObject({ state: 'connected', lastSeenAt: clock.now() });
    pass(24_900);
    expect(states()).toEqual(['connected']);
    pass(600);
    expect(states()).toEqual(['suspect']);
  });

  it('shows what is wrong with a host, a wrong clock included', async () => {
    const { session } = connect('h');
    const low = { name: 'disk-low', subject: '/', severity: 'warning', since: 1, reason: '4 % free', advice: '' };
    const say = (skewMs: number, conditions?: readonly unknown[]) =>
      session.receive(
        Buffer.from(JSON.stringify({ type: 'heartbeat', at: clock.now() + skewMs, workloads: [], engine: 'up', conditions })),
        false,
      );
    say(0, [low]);
    expect(fleet.host('h')?.conditions).toEqual([low]);
    say(8_000, [low]);
    say(8_000);
    expect(fleet.host('h')?.conditions).toMatchObject([{ name: 'clock-skew', reason: expect.stringContaining('8.0 s ahead') }]);
    say(0);
    expect(fleet.host('h')?.conditions).toEqual([]);
    await settle();
    expect(store.events.slice(1)).toMatchObject([
      { kind: 'host.notice', severity: 'warning', data: { condition: 'clock-skew', state: 'raised' } },
      { kind: 'host.notice', severity: 'info', data: { condition: 'clock-skew', state: 'cleared' } },
    ]);
  });

  it('says of a host that it is over its allowance, with or without its heartbeats, and whatever it says of itself', async () => {
    const allowances = new Allowances({ clock, warn: () => undefined, limits: { burstBytes: 100, bytesPerSecond: 1 } });
    fleet = makeFleet({ allowances });
    const { session } = connect('h');
    const own = { name: 'over-allowance', subject: '', severity: 'warning', since: 1, reason: 'says the agent', advice: '' };
    const low = { ...own, name: 'disk-low', subject: '/' };
    const say = () =>
      session.receive(
        Buffer.from(JSON.stringify({ type: 'heartbeat', at: clock.now(), workloads: [], engine: 'up', conditions: [own, low] })),
        false,
      );
    say();
    expect(fleet.host('h')?.conditions).toEqual([low]);
    const since = clock.now();
    allowances.charge('h', 1_000);
    const flood = () => expect(() => allowances.take('h', 1)).toThrow('more events');
    flood();
    pass(1_000);
    const raised = [low, { name: 'over-allowance', since, advice: expect.stringContaining('relight events') }];
    expect(fleet.host('h')?.conditions).toMatchObject(raised);
    // For an hour, with heartbeats and without: one event.
    allowances.charge('h', 1_000_000);
    pass(3_600_000, () => {
      if (clock.monotonic() % 8_000 !== 0) return;
      flood();
      if (clock.monotonic() % 16_000 === 0) say();
    });
    expect(fleet.host('h')?.conditions).toMatchObject(raised);
    pass(11 * 60_000, () => clock.monotonic() % 8_000 === 0 && say());
    expect(fleet.host('h')?.conditions).toEqual([low]);
    await settle();
    expect(store.events.filter(({ kind }) => kind === 'host.notice')).toMatchObject([
      { severity: 'warning', data: { condition: 'over-allowance', state: 'raised', advice: expect.stringContaining('token revoke') } },
      { severity: 'info', data: { condition: 'over-allowance', state: 'cleared' } },
    ]);
  });

  it('says so no longer of one that stays away, also when the collector was started anew in between', async () => {
    const allowances = new Allowances({ clock, warn: () => undefined, limits: { burstBytes: 100, bytesPerSecond: 1 } });
    fleet = makeFleet({ allowances });
    const { session } = connect('h');
    allowances.charge('h', 1_000);
    expect(() => allowances.take('h', 1)).toThrow('more events');
    pass(1_000);
    session.socketClosed('gone');
    await fleet.stop();
    expect(store.records.get('h')?.conditions).toMatchObject([{ name: 'over-allowance' }]);
    fleet = makeFleet({ allowances: new Allowances({ clock, warn: () => undefined }) });
    pass(1_000);
    expect(fleet.host('h')?.conditions).toEqual([]);
    await settle();
    expect(store.events.at(-1)).toMatchObject({ data: { condition: 'over-allowance', state: 'cleared' } });
  });

  it('does not miss a host that said it would be preempted', async () => {
    const { session } = connect('h');
    const preemption = { name: 'preemption', subject: '', severity: 'warning', since: 1, reason: 'spot VM', advice: '' };
    session.receive(
      Buffer.from(JSON.stringify({ type: 'heartbeat', at: clock.now(), workloads: [], engine: 'up', conditions: [preemption] })),
      false,
    );
    session.socketClosed('gone');
    expect(fleet.host('h')).toMatchObject({ state: 'stopped', reason: 'preemption was announced: spot VM' });
    pass(config.bootGraceMs);
    expect(states()).toEqual(['stopped']);
    await settle();
    expect(store.events.map(({ kind }) => kind)).toEqual(['agent.connected', 'agent.disconnected']);
  });

  it('blames nobody for its own standstill', () => {
    pass(config.restartGraceMs);
    const sessions = ['a', 'b'].map((host) => connect(host));
    pass(5_000);
    // A stopped process sees no time pass; then everything is due at once.
    const frozen = clock.monotonic.bind(clock);
    const target = frozen() + 300_000;
    clock.monotonic = () => target;
    clock.advance(500);
    clock.monotonic = frozen;
    expect(states()).toEqual(['connected', 'connected']);
    expect(sessions.map(({ socket }) => socket.ended)).toEqual([null, null]);
    // 300 s, less what the last sweep before it and the timer's own half second make of it.
    const [stalled] = fleet.metrics().flatMap(({ samples }) => samples.map(({ value }) => value));
    expect(stalled).toBeGreaterThanOrEqual(299);
    expect(stalled).toBeLessThanOrEqual(300);
  });

  it('declares nobody dead within the grace after its start, then whoever stayed away', async () => {
    connect('h');
    await settle();
    await fleet.stop();
    expect(store.events.map(({ kind }) => kind)).toEqual(['agent.connected']);
    fleet = makeFleet();
    expect(fleet.host('h')).toMatchObject({ state: 'unknown' });
    pass(119_000);
    expect(states()).toEqual(['unknown']);
    pass(2_000);
    expect(states()).toEqual(['dead']);
  });

  it('gives a silent connection up after 45 s and keeps the host suspect', () => {
    const { socket, session } = connect('h');
    pass(46_000);
    expect(socket.ended).toBe('terminated');
    expect(socket.pings).toBeGreaterThanOrEqual(2);
    session.socketClosed('gone');
    expect(states()).toEqual(['suspect']);
  });

  it('writes a change of state at once, mere heartbeats seldom, and both again after a failure', async () => {
    const { session } = connect('h');
    await settle();
    const before = store.writes;
    for (let i = 0; i < 6; i += 1) {
      pass(10_000);
      beat(session);
      await settle();
    }
    expect(store.writes - before).toBeLessThanOrEqual(3);
    expect(store.writes - before).toBeGreaterThanOrEqual(1);
    store.broken = true;
    session.socketClosed('reset');
    await settle();
    expect(store.records.get('h')?.state).toBe('connected');
    store.broken = false;
    pass(2_000);
    await settle();
    expect(store.records.get('h')).toMatchObject({ state: 'disconnected', reason: 'reset' });
    expect(store.events.at(-1)).toMatchObject({ kind: 'agent.disconnected' });
  });

  it('pre-registers a host, which keeps its deadline until it comes', async () => {
    await fleet.expect('new', { pool: 'v5e' }, 5_000);
    expect(fleet.host('new')).toMatchObject({ state: 'expected', expectedBy: 5_000, labels: { pool: 'v5e' } });
    expect(store.records.get('new')).toMatchObject({ state: 'expected' });
    pass(400_000);
    expect(fleet.host('new')).toMatchObject({ state: 'expected' });
    connect('new');
    expect(fleet.host('new')).toMatchObject({ state: 'connected', expectedBy: null });
    await expect(fleet.forget('new')).rejects.toMatchObject({ code: 'conflict' });
    await fleet.expect('new', {}, 9_000);
    expect(fleet.host('new')).toMatchObject({ state: 'connected', expectedBy: 9_000 });
  });

  it('forgets by rule who has been gone for long enough, and tells it; whoever comes back is a new host', async () => {
    const { forget } = readConfig({ file: 'c.yaml', text: 'version: 1\nforget: [{label: pool=spot, after: 10m}]' });
    fleet = makeFleet({ forget });
    const spot = connect('spot', { labels: { pool: 'spot' } });
    const kept = connect('kept', { labels: { pool: 'owned' } });
    const live = connect('live', { labels: { pool: 'spot' } });
    for (const { session } of [spot, kept]) session.socketClosed('gone');
    const names = () =>
      fleet
        .hosts()
        .map(({ name }) => name)
        .toSorted();
    const passLive = (ms: number): void => {
      for (let left = ms; left > 0; left -= 10_000) {
        pass(Math.min(10_000, left));
        beat(live.session);
      }
    };
    passLive(9 * 60_000);
    expect(names()).toEqual(['kept', 'live', 'spot']);
    passLive(5 * 60_000);
    await settle();
    expect(names()).toEqual(['kept', 'live']);
    expect([...store.records.keys()].toSorted()).toEqual(['kept', 'live']);
    expect(store.events.filter(({ data }) => data['forgotten'] === true)).toMatchObject([
      {
        host: 'spot',
        kind: 'host.notice',
        severity: 'info',
        message: 'spot is forgotten: dead for 10 m 00 s, as the rule for hosts with pool=spot says',
      },
    ]);
    connect('spot', { agentId: 'another-agent', machineId: 'another-machine' });
    expect(names()).toEqual(['kept', 'live', 'spot']);
    expect(fleet.host('spot')).toMatchObject({ state: 'connected', agentId: 'another-agent' });
  });

  it('forgets nobody because its clock was put right: what it said before proves nothing', async () => {
    const { forget } = readConfig({ file: 'c.yaml', text: 'version: 1\nforget: [{after: 10m}]' });
    fleet = makeFleet({ forget });
    connect('h').session.socketClosed('gone');
    pass(5 * 60_000);
    expect(states()).toEqual(['dead']);
    // The machine came up nine hours behind.
    clock.jumpWall(9 * 3_600_000);
    pass(9 * 60_000);
    await settle();
    expect(states()).toEqual(['dead']);
    pass(2 * 60_000);
    await settle();
    expect(states()).toEqual([]);
  });

  it('tells agents what is being tailed, and when nobody does any more', () => {
    const { socket: here } = connect('a');
    const { socket: there } = connect('b');
    const watch = fleet.watch({ host: 'a', workload: 'w' });
    watch.dispose();
    watch.dispose();
    const watches = (socket: FakeSocket) =>
      socket.sent.map((text) => JSON.parse(text) as { type: string; watch: unknown }).filter(({ type }) => type === 'watch');
    expect(watches(here).map((message) => message.watch)).toEqual([[{ workload: 'w' }], []]);
    expect(watches(there)).toEqual([]);
  });

  it('gives an action up after 15 s', async () => {
    connect('h');
    const answer = fleet.act('h', { action: 'restart' }).catch((error: unknown) => error);
    clock.advance(15_000);
    expect(await answer).toMatchObject({ code: 'stage-timeout' });
    await expect(fleet.act('nobody', { action: 'restart' })).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('what an agent says of itself', () => {
  const say = (session: Session, agent?: unknown): void =>
    session.receive(Buffer.from(JSON.stringify({ type: 'heartbeat', at: clock.now(), workloads: [], engine: 'up', agent })), false);

  it('is as old as the first heartbeat that brings it, and gone when another life of the agent is let in', () => {
    const { session } = connect('h');
    say(session, { at: 7, cpuMs: 40, fromTheFuture: true });
    const first = clock.now();
    clock.advance(10_000);
    say(session, { at: 7, cpuMs: 40 });
    say(session);
    expect(fleet.host('h')?.agent).toEqual({ at: 7, cpuMs: 40, receivedAt: first });
    say(session, { at: 8, cpuMs: 50 });
    expect(fleet.host('h')?.agent).toEqual({ at: 8, cpuMs: 50, receivedAt: first + 10_000 });
    connect('h');
    expect(fleet.host('h')?.agent).toBeNull();
  });

  it.each([{ at: 'now' }, { at: 1, cpuMs: -4 }, 'well', null])('costs nothing else when it cannot be read: %j', (agent) => {
    const { session, socket } = connect('h');
    say(session, agent);
    expect(socket.ended).toBeNull();
    expect(fleet.host('h')).toMatchObject({ state: 'connected', engine: { state: 'up' }, agent: null });
  });

  it('has beside it the holes that were stored, whether they say how much is missing or not', () => {
    connect('h');
    const hole = { type: 'gap', segment: { workload: 'w', generation: 1, source: 'process', run: 'r' }, from: 0, to: 9, at: 0 } as const;
    const stored = { id: 1, host: 'h', receivedAt: 0, kind: 'gap' } as const;
    fleet.pieceStored({ ...stored, gap: { ...hole, lines: 3, bytes: 9, reason: 'rate-limit' } });
    clock.advance(1_000);
    fleet.pieceStored({ ...stored, gap: { ...hole, reason: 'rotated' } });
    fleet.pieceStored({ ...stored, host: 'nobody', gap: { ...hole, reason: 'rotated' } });
    expect(fleet.host('h')?.gaps).toEqual({ count: 2, lines: 3, bytes: 9, lastAt: clock.now(), lastReason: 'rotated' });
  });
});

it('hellos that are refused for ever other reasons change what is said once a minute, and keep the disk no busier than heartbeats do', async () => {
  connect('h').session.close(1000, 'bye');
  await settle();
  const { writes } = store;
  const reasons = new Set<string | undefined>();
  for (let i = 0; i < 200; i += 1) {
    fleet.helloRefused({ ...token, host: 'h' }, { code: 'protocol', reason: `unreadable ${i}`, written: false, greeting: null });
    reasons.add(fleet.host('h')?.conditions?.[0]?.reason);
    pass(1_000);
    await settle();
  }
  expect(fleet.host('h')?.conditions).toMatchObject([{ name: 'agent-refused', reason: 'unreadable 180' }]);
  // An alert is written each time that it says something else.
  expect(reasons.size).toBe(4);
  expect(store.events.filter(({ kind }) => kind === 'host.notice')).toHaveLength(1);
  expect(store.writes - writes).toBeLessThanOrEqual(12);
});

describe('an agent that has the collector tell of it without end', () => {
  const told = (...kinds: readonly string[]) => store.events.filter(({ kind }) => kinds.includes(kind));
  const say = (session: Session, message: object) => session.receive(Buffer.from(JSON.stringify(message)), false);
  const heartbeat = (skewMs: number) => ({ type: 'heartbeat', at: clock.now() + skewMs, workloads: [], engine: 'up' });

  it('says goodbye once: nothing that comes after it is taken, and the connection ends', async () => {
    const { session, socket } = connect('h');
    for (let i = 0; i < 1_000; i += 1) say(session, { type: 'goodbye', reason: i % 2 === 0 ? 'stopped' : 'rebooting' });
    say(session, heartbeat(0));
    session.receive(Buffer.from('no message'), false);
    expect(fleet.host('h')).toMatchObject({ state: 'stopped', reason: 'the agent was stopped' });
    pass(1_000);
    expect(socket.ended).toEqual({ code: 1000, reason: 'goodbye' });
    await settle();
    expect(told('agent.disconnected')).toHaveLength(1);
    expect(states()).toEqual(['stopped']);
  });

  it('comes and goes: each time its record is right, of the events the latest is told', async () => {
    for (let i = 0; i < 500; i += 1) {
      const { session } = connect('h');
      expect(states()).toEqual(['connected']);
      session.socketClosed(`the ${i}th`);
      expect(fleet.host('h')).toMatchObject({ state: 'disconnected', reason: `the ${i}th` });
    }
    connect('other');
    await settle();
    expect(told('agent.connected', 'agent.disconnected')).toHaveLength(21);
    expect(store.events.at(-1)).toMatchObject({ host: 'other', kind: 'agent.connected' });
    pass(5_000);
    await settle();
    const message = 'disconnected: the 499th (979 more just before it are left out)';
    expect(store.events.at(-1)).toMatchObject({ host: 'h', kind: 'agent.disconnected', message, data: { leftOut: 979 } });
    const leftOut = fleet.metrics().find(({ name }) => name === 'relight_collector_events_left_out_total');
    expect(leftOut?.samples).toEqual([{ value: 979 }]);
    // What time alone brings about is no less news for that.
    pass(config.restartGraceMs);
    await settle();
    expect(told('host.dead').map(({ host }) => host)).toEqual(['h', 'other']);
  });

  it('has a clock that is wrong and right again with every other beat: so do its conditions, and the last of it is told', async () => {
    const { session } = connect('h');
    for (let i = 0; i < 500; i += 1) {
      for (const skewMs of [60_000, 60_000]) say(session, heartbeat(skewMs));
      expect(fleet.host('h')?.conditions).toMatchObject([{ name: 'clock-skew' }]);
      say(session, heartbeat(0));
      expect(fleet.host('h')?.conditions).toEqual([]);
    }
    await settle();
    expect(told('host.notice')).toHaveLength(20);
    await fleet.stop();
    expect(told('host.notice')).toHaveLength(21);
    expect(store.events.at(-1)).toMatchObject({ data: { condition: 'clock-skew', state: 'cleared', leftOut: 979 } });
  });

  it('has that charged to its allowance', () => {
    const allowances = new Allowances({ clock, warn: () => undefined, limits: { burstBytes: 1_000, bytesPerSecond: 1 } });
    fleet = makeFleet({ allowances });
    for (let i = 0; i < 5; i += 1) connect('h').session.socketClosed('gone');
    connect('other');
    expect([...allowances.spent()]).toEqual(['h']);
  });
});

describe('a copy of a machine', () => {
  const machine = { agentId: 'agent-0001', machineId: 'm' };
  const original = { ...machine, bootId: 'boot-1' };
  const copy = { ...machine, bootId: 'boot-2' };
  const restart = async (): Promise<void> => {
    await fleet.stop();
    fleet = makeFleet();
  };

  it('that was refused beside it is known after a restart of the collector, in which it comes first', async () => {
    connect('h', original);
    expect(connect('copy', copy).socket.ended).toMatchObject({ code: 4410 });
    await restart();
    expect(connect('copy', copy).socket.ended).toMatchObject({ code: 4410, reason: expect.stringContaining('seen beside it') as string });
    const { socket } = connect('h', { ...original, bootId: 'boot-3' });
    expect([socket.ended, fleet.host('copy')]).toEqual([null, undefined]);
  });

  it.each([
    ['a month after it was last seen', async () => clock.advance(30 * 86_400_000)],
    ['by relight forget', () => fleet.forget('h')],
    ['when the host is another machine', async () => connect('h', { ...original, machineId: 'm2' }).session.close(1000, 'bye')],
  ])('is forgotten %s', async (_, then) => {
    connect('h', original);
    connect('copy', copy);
    await restart();
    await then();
    const other = fleet.host('h')?.machineId === 'm2' ? { machineId: 'm2' } : {};
    expect(connect('copy', { ...copy, ...other }).socket.ended).toBeNull();
  });

  it('is remembered of the last sixteen, and written once', async () => {
    connect('h', original);
    await settle();
    const { writes } = store;
    for (let i = 0; i < 5; i += 1) connect('copy-00', copy);
    await settle();
    expect(store.writes - writes).toBe(1);
    for (let i = 1; i < 20; i += 1) connect(`copy-${String(i).padStart(2, '0')}`, copy);
    expect(fleet.host('h')?.copies?.map(({ host }) => host)).toEqual(
      Array.from({ length: 16 }, (_, i) => `copy-${String(i + 4).padStart(2, '0')}`),
    );
  });

  it.each([
    ['of another name', 'copy', 'stop its agent, relight forget h, relight-agent join on the other one'],
    ['of the same name', 'h', 'then relight-agent join on the other one'],
  ])('%s: what is said names both, how to tell them apart, and what ends it', (_, name, how) => {
    // Under the same name the later one takes over: it cannot be told from the same host after a reboot.
    const first = connect('h', original).session;
    const taker = name === 'h' ? connect('h', copy).session : first;
    const since = new Date(clock.now()).toISOString();
    clock.advance(5_000);
    connect(name, name === 'h' ? original : copy);
    beat(taker);
    const [connected, refused] = name === 'h' ? ['boot-2', 'boot-1'] : ['boot-1', 'boot-2'];
    const [condition] = fleet.host('h')?.conditions ?? [];
    expect(condition?.name).toBe('machine-id-shared');
    for (const part of [
      'Either may be the copy.',
      `Connected: h at 10.0.0.1, boot ${connected}, since ${since}, with the token ${token.id}.`,
      `Refused: ${name} at 10.0.0.1, boot ${refused}, since ${new Date(clock.now()).toISOString()}.`,
      `relight-collector token revoke ${token.id} sends it away`,
      how,
    ])
      expect(condition?.advice).toContain(part);
  });
});

it.each([10, 17])('a host that says goodbye while a slow disk has %d changes of it is no other one after a stop', async (changes) => {
  const { session } = connect('h1');
  await settle();
  const under: (() => void)[] = [];
  store.putHost = async (record) => {
    await new Promise<void>((resolve) => under.push(resolve));
    store.records.set(record.name, record);
  };
  for (let n = 0; n < changes; n += 1) {
    const engine = n % 2 === 0 ? 'down' : 'up';
    session.receive(Buffer.from(JSON.stringify({ type: 'heartbeat', at: clock.now(), workloads: [], engine })), false);
  }
  session.receive(Buffer.from(JSON.stringify({ type: 'goodbye', reason: 'stopped' })), false);
  await fleet.stop();
  // What the store was handed until now it writes before it is closed.
  for (const done of under) done();
  await settle();
  expect(store.records.get('h1')?.state).toBe('stopped');
});

it('a state that waits for writes under way is written when one of them is done, not when somebody looks', async () => {
  const { session } = connect('h1');
  await settle();
  const under: (() => void)[] = [];
  store.putHost = async (record) => {
    await new Promise<void>((resolve) => under.push(resolve));
    store.records.set(record.name, record);
  };
  for (let n = 0; n < 17; n += 1) {
    const engine = n % 2 === 0 ? 'down' : 'up';
    session.receive(Buffer.from(JSON.stringify({ type: 'heartbeat', at: clock.now(), workloads: [], engine })), false);
  }
  session.receive(Buffer.from(JSON.stringify({ type: 'goodbye', reason: 'stopped' })), false);
  for (const done of under.splice(0)) done();
  await settle();
  expect(under).toHaveLength(1);
  under[0]?.();
  await settle();
  expect(store.records.get('h1')?.state).toBe('stopped');
});

it('who was let in again after another life of its machine fell silent comes back as often as its network breaks', async () => {
  const first = { bootId: 'b1', epoch: 'e1' };
  connect('h1', first);
  connect('h1', { bootId: 'b2', epoch: 'e2' });
  pass(config.suspectAfterMs + 1_000);
  expect(states()).toEqual(['suspect']);
  const back = connect('h1', first);
  expect(back.socket.ended).toBeNull();
  // Its former connection looks alive still.
  const again = connect('h1', first);
  expect([again.socket.ended, back.socket.ended]).toMatchObject([null, { code: 4409 }]);
  // As any other: a life that takes over while it is connected ends it for good.
  expect(connect('h1', { bootId: 'b3', epoch: 'e3' }).socket.ended).toBeNull();
  expect(connect('h1', first).socket.ended).toMatchObject({ code: 4410 });
});

it('an agent that says something else with each frame has a few records on their way to a slow disk, and the last one gets there', async () => {
  const { session } = connect('h1');
  let writes = 0;
  let under: (() => void)[] = [];
  store.putHost = async (record) => {
    writes += 1;
    await new Promise<void>((resolve) => under.push(resolve));
    store.records.set(record.name, record);
  };
  const gate = (state: 'open' | 'waiting') => ({ state, since: 0, reason: '', deadlineAt: null, conditions: [] });
  for (let n = 0; n < 501; n += 1) {
    const beat = { type: 'heartbeat', at: clock.now(), workloads: [], engine: 'up', gate: gate(n % 2 === 0 ? 'open' : 'waiting') };
    session.receive(Buffer.from(JSON.stringify(beat)), false);
  }
  expect(writes).toBeGreaterThan(0);
  expect(writes).toBeLessThan(20);
  for (let round = 0; round < 5; round += 1) {
    for (const done of under) done();
    under = [];
    await settle();
    pass(1_000);
  }
  expect(under).toEqual([]);
  expect(store.records.get('h1')?.gate?.state).toBe('open');
});

describe('agents that are locked out of a name', () => {
  const come = (index: number) =>
    connect('h', { agentId: `agent-${String(index).padStart(4, '0')}`, machineId: `m-${index}` }).socket.ended;
  const lockedOut = { code: 4409, reason: expect.stringContaining('another agent owns h now') as string };

  it('are so many and no more, those that come latest, also behind a restart', async () => {
    come(0);
    for (let index = 1; index <= 20; index += 1) {
      expect(come(index)).toBeNull();
      // The first one goes on to try.
      expect(come(0)).toEqual(lockedOut);
    }
    await settle();
    expect(store.fenced.get('h')).toHaveLength(16);
    expect([come(0), come(19), come(6)]).toEqual([lockedOut, lockedOut, lockedOut]);
    await fleet.stop();
    fleet = makeFleet();
    expect([come(0), come(19), come(6)]).toEqual([lockedOut, lockedOut, lockedOut]);
    expect(come(1)).toBeNull();
    await settle();
    expect(store.fenced.get('h')).toHaveLength(16);
  });

  it('are let in when the host is forgotten, or has another name', async () => {
    come(0);
    const { session } = connect('h', { agentId: 'agent-0001', machineId: 'm-1' });
    expect(come(0)).toEqual(lockedOut);
    session.socketClosed('gone');
    await fleet.forget('h');
    expect(come(0)).toBeNull();
  });
});

it('what was told of a host last is told once more when the host was forgotten in between', async () => {
  const stranger = tokenRecord({ id: 'mine', host: 'h' });
  const told = () => store.events.filter(({ message }) => message.startsWith('the token of h was used as other')).length;
  for (const times of [1, 2]) {
    const { session } = connect('h');
    await settle();
    connect('other', {}, stranger);
    connect('other', {}, stranger);
    await settle();
    expect(told()).toBe(times);
    session.socketClosed('gone');
    await fleet.forget('h');
  }
});
