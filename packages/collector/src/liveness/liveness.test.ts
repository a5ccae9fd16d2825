import type { HostCondition } from '@relight/shared/status';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { announcedDeparture } from './announced.ts';
import { lastKnown } from './last-known.ts';
import { atStart, newHost, nextDeadline, transition, type HostLiveness, type LivenessContext, type LivenessEvent } from './liveness.ts';

const config = { suspectAfterMs: 25_000, deadAfterMs: 60_000, restartGraceMs: 120_000, bootGraceMs: 900_000 };
const longAgo = -1_000_000;
const at = (nowMono: number, startedMono = longAgo): LivenessContext => ({ nowMono, startedMono, config });
const hello: LivenessEvent = { type: 'hello', agent: 'agent 1.0' };
const tick: Extract<LivenessEvent, { type: 'tick' }> = { type: 'tick', lastKnown: 'ready, load 0.3' };
const connected = transition(newHost('unknown', 'new', 0), hello, at(0)).state;
const apply = (host: HostLiveness, event: LivenessEvent, now: number, started?: number) => transition(host, event, at(now, started));

describe('liveness', () => {
  it('tells suspect at 25 s and dead at 60 s of silence, with the reason in words', () => {
    expect(apply(connected, tick, 24_999).changes).toEqual([]);
    const suspect = apply(connected, tick, 25_000);
    expect(suspect).toMatchObject({
      state: { state: 'suspect' },
      changes: [{ kind: 'host.suspect', severity: 'warning' }],
      nextDeadline: 60_000,
    });
    const dead = apply(suspect.state, tick, 61_000);
    expect(dead.state).toMatchObject({ state: 'dead', reason: 'silent for 61 s; last known: ready, load 0.3' });
    expect(dead).toMatchObject({ changes: [{ kind: 'host.dead', severity: 'critical' }], nextDeadline: null });
    expect(apply(dead.state, { type: 'heard' }, 70_000)).toMatchObject({
      state: { state: 'connected' },
      changes: [{ kind: 'host.recovered', message: 'heard again after 70 s of silence' }],
    });
  });

  it('sees a closed connection at once; silence goes on counting', () => {
    const closed = apply(connected, { type: 'closed', why: 'connection reset', silence: false }, 5_000);
    expect(closed).toMatchObject({ state: { state: 'disconnected', reason: 'connection reset' }, nextDeadline: 60_000 });
    expect(apply(closed.state, tick, 60_000).state.state).toBe('dead');
    expect(apply(closed.state, hello, 9_000).changes.map(({ kind }) => kind)).toEqual(['agent.connected']);
  });

  it('stays suspect when this side gives up a silent connection', () => {
    const suspect = apply(connected, tick, 25_000).state;
    expect(apply(suspect, { type: 'closed', why: 'silent', silence: true }, 45_000).state.state).toBe('suspect');
    expect(apply(suspect, { type: 'closed', why: 'reset', silence: false }, 45_000).state.state).toBe('disconnected');
  });

  it('believes a goodbye', () => {
    const stopped = apply(connected, { type: 'goodbye', reason: 'stopped' }, 1_000);
    expect(stopped).toMatchObject({ state: { state: 'stopped' }, nextDeadline: null });
    expect(apply(stopped.state, { type: 'closed', why: 'x', silence: false }, 1_001).state.state).toBe('stopped');
    const rebooting = apply(connected, { type: 'goodbye', reason: 'rebooting' }, 1_000);
    expect(rebooting).toMatchObject({ state: { state: 'rebooting' }, nextDeadline: 901_000 });
    expect(apply(rebooting.state, tick, 900_999).state.state).toBe('rebooting');
    expect(apply(rebooting.state, tick, 901_000).state).toMatchObject({
      state: 'dead',
      reason: expect.stringMatching(/^did not come back from its reboot/),
    });
    expect(apply(rebooting.state, hello, 300_000).state.state).toBe('connected');
  });

  it('awaits no host whose preemption was announced, and one under maintenance for the time of a boot', () => {
    const notice = (name: string): HostCondition => ({
      name,
      subject: '',
      severity: 'warning',
      since: 0,
      reason: 'the cloud said so',
      advice: '',
    });
    const announced = announcedDeparture({ conditions: [notice('maintenance'), notice('preemption')] });
    expect(announced).toEqual({ state: 'stopped', reason: 'preemption was announced: the cloud said so' });
    expect(announcedDeparture({ conditions: [notice('disk-low'), notice('maintenance-scheduled')] })).toBeNull();

    const broken = apply(connected, { type: 'closed', why: 'reset', silence: false, announced }, 1_000);
    expect(broken).toMatchObject({ state: { state: 'stopped', reason: announced?.reason }, nextDeadline: null });
    expect(broken.changes).toMatchObject([{ kind: 'agent.disconnected', severity: 'info' }]);

    const suspect = apply(connected, { ...tick, announced }, 25_000).state;
    expect(suspect.state).toBe('suspect');
    expect(apply(suspect, { type: 'heard' }, 30_000).state.state).toBe('connected');
    expect(apply(suspect, { ...tick, announced }, 60_000).state).toMatchObject({
      state: 'stopped',
      reason: 'preemption was announced: the cloud said so; silent for 60 s; last known: ready, load 0.3',
    });

    const maintained = announcedDeparture({ conditions: [notice('maintenance')] });
    const away = apply(suspect, { ...tick, announced: maintained }, 60_000);
    expect(away).toMatchObject({ state: { state: 'rebooting' }, nextDeadline: 960_000 });
    expect(apply(away.state, { ...tick, announced: maintained }, 960_000).state.state).toBe('dead');

    const goodbye = apply(connected, { type: 'goodbye', reason: 'stopped', announced }, 1_000);
    expect(goodbye.state.reason).toBe('the agent was stopped; preemption was announced: the cloud said so');
  });

  it.each(['connected', 'suspect', 'dead', 'disconnected'] as const)('knows nothing of a host that was %s before the start', (state) => {
    const host = atStart({ state, reason: 'r' }, at(0, 0));
    expect(host).toMatchObject({ state: 'unknown', reason: `the collector started; before that: ${state} (r)` });
    expect(apply(host, tick, 119_999, 0).state.state).toBe('unknown');
    expect(apply(host, tick, 120_000, 0).state.state).toBe('dead');
  });

  it.each(['expected', 'stopped', 'rebooting'] as const)('keeps what was %s before the start', (state) => {
    expect(atStart({ state, reason: 'r' }, at(0, 0))).toMatchObject({ state, reason: 'r' });
  });

  it('counts a stall of the collector as nobody’s silence', () => {
    const stalled = apply(connected, { type: 'stalled', byMs: 100_000 }, 110_000).state;
    expect(apply(stalled, tick, 110_000).state.state).toBe('connected');
    expect(nextDeadline(stalled, at(110_000))).toBe(125_000);
  });
});

/** A model that only remembers when things happened, checked against the machine after every step. */
describe('any sequence of events', () => {
  const event: fc.Arbitrary<LivenessEvent> = fc.oneof(
    { weight: 2, arbitrary: fc.constant(hello) },
    { weight: 4, arbitrary: fc.constant<LivenessEvent>({ type: 'heard' }) },
    { weight: 2, arbitrary: fc.boolean().map((silence): LivenessEvent => ({ type: 'closed', why: 'why', silence })) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('stopped' as const, 'rebooting' as const).map((reason): LivenessEvent => ({ type: 'goodbye', reason })),
    },
    { weight: 6, arbitrary: fc.constant(tick) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 200_000 }).map((byMs): LivenessEvent => ({ type: 'stalled', byMs })) },
  );
  const steps = fc.array(fc.record({ event, wait: fc.integer({ min: 0, max: 80_000 }) }), { maxLength: 60 });

  it('declares nobody dead early, nobody twice, and forgets nobody', () => {
    fc.assert(
      fc.property(steps, (script) => {
        let now = 0;
        let host = newHost('unknown', 'new', 0);
        let lastLife = 0;
        for (const { event, wait } of script) {
          now += event.type === 'stalled' ? Math.max(wait, event.byMs) : wait;
          const before = host;
          const done = transition(host, event, at(now, 0));
          host = done.state;
          if (event.type === 'hello' || (event.type === 'heard' && host.state === 'connected')) lastLife = now;
          const kinds = new Set(done.changes.map(({ kind }) => kind));
          const wasDown = before.state === 'suspect' || before.state === 'dead';
          const died = kinds.has('host.dead');
          const early = now - lastLife < config.deadAfterMs || now < config.restartGraceMs || before.state === 'dead';
          expect(died && early).toBe(false);
          expect(kinds.has('host.recovered')).toBe(wasDown && host.state === 'connected');
          // Time alone always ends a silent state; and a deadline is never in the past after a tick was served.
          const waits = ['connected', 'suspect', 'disconnected', 'unknown', 'rebooting'].includes(host.state);
          expect(done.nextDeadline !== null).toBe(waits);
          expect(host.silentSince).toBeLessThanOrEqual(now);
        }
        // Left alone, whoever did not say goodbye ends dead, after at most three ticks.
        for (let i = 0; i < 3; i += 1) {
          now += config.bootGraceMs + config.deadAfterMs;
          host = transition(host, tick, at(now, 0)).state;
        }
        expect(['dead', 'stopped']).toContain(host.state);
      }),
    );
  });
});

describe('last known', () => {
  const workload = (name: string, phase: 'ready' | 'back-off') => ({ name, phase }) as never;
  it('says in a few words what the host said last', () => {
    expect(lastKnown([], null)).toBe('nothing');
    expect(lastKnown([workload('w', 'ready')], { at: 0, disks: [], load1: 0.31 })).toBe('ready, load 0.3');
    expect(lastKnown([workload('a', 'ready'), workload('b', 'ready')], null)).toBe('all 2 ready');
    expect(lastKnown([workload('a', 'ready'), workload('b', 'back-off')], null)).toBe('1 of 2 ready, b back-off');
  });
});
