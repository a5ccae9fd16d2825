import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AgentEvent } from '@relight/shared/event';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import { inFlightMax, type CollectorMessage } from '@relight/shared/protocol';
import { greet, maySendEvents, maySendLog, step, type Session, type SessionEffect, type SessionInput } from './session.ts';

const segments: SegmentKey[] = ['1', '2'].map((run) => ({ workload: 'worker', generation: 1, source: 'process', run }));
const welcome = (lastEventSeq = 0): CollectorMessage => ({
  type: 'welcome',
  protocol: 1,
  sessionId: 's',
  heartbeatMs: 10_000,
  lastEventSeq,
  segments: [],
  watch: [],
});
const live = (lastEventSeq = 0): Session => step(greet('e'), { kind: 'message', message: welcome(lastEventSeq) }).session;
const play = (session: Session, inputs: readonly SessionInput[]): { session: Session; effects: SessionEffect[] } => {
  const effects: SessionEffect[] = [];
  let current = session;
  for (const input of inputs) {
    const next = step(current, input);
    current = next.session;
    effects.push(...next.effects);
  }
  return { session: current, effects };
};

test('nothing is sent before welcome; then from where the collector is', () => {
  expect([maySendEvents(greet('e')), maySendLog(greet('e'))]).toEqual([false, false]);
  expect(live(7).sentSeq).toBe(7);
  expect(maySendEvents(live())).toBe(true);
});

test('a welcome in a version that this side does not speak ends the session, and says who has to be upgraded', () => {
  const greeted = greet('e', { oldest: 2, newest: 3 });
  const said = [1, 2, 3, 4].map((protocol) => {
    const message = { ...welcome(0), protocol } as CollectorMessage;
    return step(greeted, { kind: 'message', message });
  });
  expect(said.map(({ session }) => session.phase)).toEqual(['greeting', 'live', 'live', 'greeting']);
  const reasons = said.flatMap(({ effects }) => effects.flatMap((effect) => (effect.kind === 'versions-apart' ? [effect.reason] : [])));
  expect(reasons).toEqual([
    'the agent speaks protocol 2 to 3, the collector 1: upgrade the collector',
    'the agent speaks protocol 2 to 3, the collector 4: upgrade the agent',
  ]);
});

test('what breaks the protocol ends the session', () => {
  const early = step(greet('e'), { kind: 'message', message: { type: 'ack', events: { epoch: 'e', seq: 1 }, segments: [] } });
  const twice = step(live(), { kind: 'message', message: welcome() });
  const unsent = step(live(), { kind: 'message', message: { type: 'ack', events: { epoch: 'e', seq: 1 }, segments: [] } });
  for (const { effects } of [early, twice, unsent]) expect(effects.map(({ kind }) => kind)).toEqual(['protocol-error']);
});

test('a fleet that has grown is known with the next acknowledgement, each size once', () => {
  const welcomed: SessionInput = { kind: 'message', message: { ...welcome(), fleetSize: 3 } as CollectorMessage };
  const ack = (fleetSize?: number): SessionInput => ({
    kind: 'message',
    message: { type: 'ack', events: { epoch: 'e', seq: 0 }, segments: [], ...(fleetSize === undefined ? {} : { fleetSize }) },
  });
  const { effects } = play(greet('e'), [welcomed, ack(3), ack(), ack(10_000), ack(10_000), ack(9_000)]);
  expect(effects.flatMap((effect) => (effect.kind === 'fleet-size' ? [effect.size] : []))).toEqual([3, 10_000, 9_000]);
});

test('an acknowledgement of another epoch has no effect', () => {
  const { effects } = step(live(), { kind: 'message', message: { type: 'ack', events: { epoch: 'old', seq: 9 }, segments: [] } });
  expect(effects).toEqual([]);
});

test('of an epoch that the welcome has not told of, the collector may have more than was sent; the next number comes behind that', () => {
  const other: SessionInput = { kind: 'epoch', epoch: 'left', acknowledged: 3 };
  const ack = (seq: number): SessionInput => ({ kind: 'message', message: { type: 'ack', events: { epoch: 'left', seq }, segments: [] } });
  const { session, effects } = play(live(7), [other, { kind: 'events-sent', lastSeq: 5 }, ack(9)]);
  expect(session).toMatchObject({ epoch: 'e', sending: 'left', sentSeq: 9, eventMessages: [] });
  expect(effects).toEqual([{ kind: 'acknowledge', epoch: 'left', seq: 9 }]);
});

test('of several answers that rewind to the same place only the first acts, until the segment has gone beyond', () => {
  const [segment] = segments as [SegmentKey];
  const rewind: SessionInput = { kind: 'message', message: { type: 'ack', segments: [{ segment, offset: 5, rewind: true }] } };
  const sent = (to: number): SessionInput => ({ kind: 'log-sent', segment, to });
  const { effects, session } = play(live(), [sent(10), sent(20), rewind, sent(30), rewind]);
  expect(effects).toHaveLength(1);
  expect(session.logFrames).toEqual([{ segment: segmentId(segment), to: 30 }]);
  const beyond: SessionInput = { kind: 'message', message: { type: 'ack', segments: [{ segment, offset: 30, rewind: false }] } };
  expect(play(session, [beyond, { ...rewind }]).effects).toHaveLength(2);
});

/** A collector that commits at some time and answers at some time, on a line that breaks at any time. */
describe('model', () => {
  const action = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('append' as const), where: fc.nat(1), size: fc.integer({ min: 1, max: 9 }) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('send' as const), lane: fc.constantFrom('events' as const, 0, 1) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('commit' as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('answer' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), where: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('break' as const) }) },
  );

  class World {
    session = greet('e');
    readonly events: AgentEvent[] = [];
    readonly written = [0, 0];
    readonly cut = [0, 0];
    readonly stored: number[] = [];
    readonly committed = [0, 0];
    toCollector: ({ seqs: number[] } | { where: number; from: number; to: number })[] = [];
    toAgent: CollectorMessage[] = [];

    connect(): void {
      this.toCollector = [];
      this.toAgent = [];
      this.session = greet('e');
      this.receive({ ...(welcome(this.stored.at(-1) ?? 0) as object), segments: this.#committed() } as CollectorMessage);
    }

    #committed(): { segment: SegmentKey; offset: number }[] {
      return segments.map((segment, where) => ({ segment, offset: this.committed[where] ?? 0 }));
    }

    receive(message: CollectorMessage): void {
      const { session, effects } = step(this.session, { kind: 'message', message });
      this.session = session;
      for (const effect of effects) {
        if (effect.kind === 'protocol-error') throw new Error(effect.reason);
        if (effect.kind === 'welcomed') for (const [where, { offset }] of effect.committed.entries()) this.cut[where] = offset;
        if (effect.kind === 'log-committed' && effect.rewind)
          this.cut[segments.findIndex(({ run }) => run === effect.segment.run)] = effect.offset;
      }
    }

    send(lane: 'events' | number): boolean {
      if (lane === 'events') {
        const seqs = this.events.filter(({ seq }) => seq > this.session.sentSeq).map(({ seq }) => seq);
        if (!maySendEvents(this.session) || seqs.length === 0) return false;
        this.toCollector.push({ seqs: seqs.slice(0, 2) });
        this.session = step(this.session, { kind: 'events-sent', lastSeq: seqs[1] ?? seqs[0] ?? 0 }).session;
        return true;
      }
      const from = this.cut[lane] ?? 0;
      const to = Math.min(this.written[lane] ?? 0, from + 7);
      if (!maySendLog(this.session) || to <= from) return false;
      this.toCollector.push({ where: lane, from, to });
      this.cut[lane] = to;
      this.session = step(this.session, { kind: 'log-sent', segment: segments[lane] as SegmentKey, to }).session;
      return true;
    }

    commit(): boolean {
      const frame = this.toCollector.shift();
      if (frame === undefined) return false;
      if ('seqs' in frame) {
        const before = this.stored.at(-1) ?? 0;
        this.stored.push(...frame.seqs.filter((seq) => seq > before));
        this.toAgent.push({ type: 'ack', events: { epoch: 'e', seq: this.stored.at(-1) ?? 0 }, segments: [] });
        return true;
      }
      const { from, to, where } = frame;
      const committed = this.committed[where] ?? 0;
      const fits = from === committed;
      if (fits) this.committed[where] = to;
      const segment = segments[where] as SegmentKey;
      this.toAgent.push({ type: 'ack', segments: [{ segment, offset: this.committed[where] ?? 0, rewind: !fits && to > committed }] });
      return true;
    }

    answer(): boolean {
      const message = this.toAgent.shift();
      if (message !== undefined) this.receive(message);
      return message !== undefined;
    }
  }

  test('connections break at any step, also a frame in between is lost: every event once and in order, every segment without a hole', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 150 }), (actions) => {
        const world = new World();
        world.connect();
        for (const what of actions) {
          if (what.do === 'append') {
            world.events.push({ seq: world.events.length + 1, at: 0, kind: 'host.notice', severity: 'info', message: '', data: {} });
            world.written[what.where] = (world.written[what.where] ?? 0) + what.size;
          } else if (what.do === 'send') world.send(what.lane);
          else if (what.do === 'commit') world.commit();
          else if (what.do === 'answer') world.answer();
          else if (what.do === 'break') world.connect();
          else world.cut[what.where] = Math.min(world.written[what.where] ?? 0, (world.cut[what.where] ?? 0) + 1); // a defect of the lane: a byte is skipped
          expect(world.session.eventMessages.length).toBeLessThanOrEqual(inFlightMax);
          expect(world.session.logFrames.length).toBeLessThanOrEqual(inFlightMax);
        }
        world.connect();
        let steps = 0;
        while (world.send('events') || world.send(0) || world.send(1) || world.commit() || world.answer())
          expect((steps += 1)).toBeLessThan(5_000);
        expect(world.stored).toEqual(world.events.map(({ seq }) => seq));
        expect(world.committed).toEqual(world.written);
      }),
      { numRuns: 300 },
    );
  });
});
