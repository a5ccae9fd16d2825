import fc from 'fast-check';
import type { HostCondition, WorkloadStatus } from '@relight/shared/status';
import { describe, expect, test } from 'vitest';
import { epoch, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { readConfig } from '../config.ts';
import type { AlertRecord, HostRecord, StoredEvent } from '../store/store.ts';
import { alertKey } from './condition.ts';
import { evaluate, type AlertChange, type AlertsState } from './evaluate.ts';
import { restartFact, settledAfterMs, type RestartFact } from './repeated-restarts.ts';
import { restore } from './restore.ts';
import { statusFollowsMs } from './telling.ts';

const minute = 60_000;
const config = readConfig(null).alerts;

/** The rules, a clock and the fleet in one hand. */
class World {
  state: AlertsState = { tracks: new Map(), falls: new Map(), firing: new Map(), ended: new Map() };
  now = epoch;
  hosts = new Map<string, HostRecord>();
  spent: ReadonlySet<string> = new Set();
  told: { rule: string; host: string; state: string; severity: string }[] = [];
  changes: AlertChange[] = [];
  #eventId = 0;

  put(...hosts: HostRecord[]): void {
    for (const host of hosts) this.hosts.set(host.name, host);
  }
  fact(host: string, at: number, budgetExhausted = false): RestartFact {
    return {
      eventId: (this.#eventId += 1),
      host,
      workload: 'w',
      at,
      receivedAt: this.now,
      budgetExhausted,
      why: budgetExhausted ? '' : `exit code ${this.#eventId}`,
    };
  }
  /** Events are judged once more a moment later, when the status that might explain them would be there. */
  step(restarts: readonly RestartFact[] = []): void {
    this.evaluate(restarts, this.now);
    // The clock goes on with it: nothing that follows is before that moment.
    if (restarts.length > 0) this.pass(statusFollowsMs);
  }
  evaluate(restarts: readonly RestartFact[], now: number): void {
    const { state, changes } = evaluate(this.state, { hosts: this.hosts, restarts, falls: [], now, spent: this.spent }, config);
    this.state = state;
    this.changes.push(...changes);
    for (const { alert, notify } of changes) {
      if (notify) this.told.push({ rule: alert.rule, host: alert.host, state: alert.state, severity: alert.severity });
    }
  }
  pass(ms: number): void {
    this.now += ms;
    this.step();
  }
  restart(host = 'a'): void {
    this.step([this.fact(host, this.now)]);
  }
  get brief(): string[] {
    return this.told.map((one) => `${one.rule} ${one.host} ${one.state} ${one.severity}`);
  }
}

function worldOf(...names: string[]): World {
  const world = new World();
  world.put(...names.map((name) => hostRecord(name, { workloads: [workloadStatus('w')] })));
  return world;
}

describe('RepeatedRestarts', () => {
  test('three within ten minutes warn, five within thirty are critical, each told once; quiet resolves', () => {
    const world = worldOf('a');
    for (let i = 0; i < 9; i += 1) {
      world.restart();
      world.pass(minute - statusFollowsMs);
    }
    expect(world.brief).toEqual(['RepeatedRestarts a firing warning', 'RepeatedRestarts a firing critical']);
    world.pass(14 * minute - 1);
    expect(world.told).toHaveLength(2);
    world.pass(1);
    expect(world.brief.slice(2)).toEqual(['RepeatedRestarts a resolved critical']);
    expect(world.changes.at(-1)?.alert.endsAt).toBe(world.now);
  });

  test('two are nothing, and neither are three that are too far apart', () => {
    const world = worldOf('a');
    for (let i = 0; i < 12; i += 1) {
      world.restart();
      world.pass(11 * minute);
    }
    expect(world.told).toEqual([]);
  });

  test('an exhausted budget is critical at once', () => {
    const world = worldOf('a');
    world.step([world.fact('a', world.now), world.fact('a', world.now, true)]);
    expect(world.brief).toEqual(['RepeatedRestarts a firing critical']);
  });

  test('restarts before a resolved alert do not count for the next one', () => {
    const world = worldOf('a');
    for (let i = 0; i < 5; i += 1) world.restart();
    world.pass(15 * minute);
    expect(world.brief.at(-1)).toBe('RepeatedRestarts a resolved critical');
    world.restart();
    world.restart();
    expect(world.told).toHaveLength(3);
    world.restart();
    expect(world.brief.at(-1)).toBe('RepeatedRestarts a firing warning');
  });

  test('what an outage delays is judged by when it happened, and told once', () => {
    const world = worldOf('a');
    world.now += 60 * minute;
    const replayed = [0, 10, 20, 30, 40, 50].map((seconds) => world.fact('a', world.now - minute + seconds * 1000));
    world.step(replayed);
    world.pass(1000);
    expect(world.brief).toEqual(['RepeatedRestarts a firing critical']);
  });

  test('what was long over when it arrived is history', () => {
    const world = worldOf('a');
    world.now += 180 * minute;
    world.step([0, 1, 2, 3, 4].map((i) => world.fact('a', epoch + i * minute)));
    world.pass(minute);
    expect(world.told).toEqual([]);
  });

  test('the silence of a host that is not heard resolves nothing, nor does its first half minute back', () => {
    const world = worldOf('a');
    for (let i = 0; i < 3; i += 1) world.restart();
    world.put(hostRecord('a', { state: 'disconnected', stateSince: world.now }));
    world.pass(60 * minute);
    expect(world.told).toHaveLength(1);
    world.put(hostRecord('a', { state: 'connected', stateSince: world.now }));
    world.step();
    expect(world.told).toHaveLength(1);
    world.pass(settledAfterMs);
    expect(world.brief.at(-1)).toBe('RepeatedRestarts a resolved warning');
  });

  test('forgetting the host resolves its alerts', () => {
    const world = worldOf('a');
    for (let i = 0; i < 3; i += 1) world.restart();
    world.hosts.delete('a');
    world.step();
    expect(world.brief.at(-1)).toBe('RepeatedRestarts a resolved warning');
    expect(world.state.firing.size).toBe(0);
  });

  test('who is woken reads why it failed last; that the budget is gone hides it not', () => {
    const world = worldOf('a');
    for (const _ of [1, 2, 3]) world.restart();
    expect(world.changes.at(-1)?.alert.summary).toMatch(/^a\/w restarted 3 times after failures; last: exit code 3$/);
    world.step([world.fact('a', world.now, true)]);
    expect(world.changes.at(-1)?.alert.summary).toMatch(/its restart budget is exhausted, slow retries go on; last: exit code 3$/);
  });

  test('only failures at process or container level count, at the time by the corrected clock', () => {
    const event: StoredEvent = {
      id: 7,
      at: epoch + 5_000,
      receivedAt: epoch + 60_000,
      host: 'a',
      workload: 'w',
      generation: 1,
      kind: 'restart.scheduled',
      severity: 'warning',
      message: 'container restart in 2.0 s (attempt 3): exit code 3;\n  its last words: boom',
      data: { countsAsFailure: true, level: 'container' },
    };
    expect(restartFact({ ...event, message: 'x'.repeat(1_000) }, 0)?.why).toBe(`${'x'.repeat(300)}…`);
    expect(restartFact(event, 2_000)).toEqual({
      eventId: 7,
      host: 'a',
      workload: 'w',
      at: epoch + 3_000,
      receivedAt: event.receivedAt,
      budgetExhausted: false,
      why: 'container restart in 2.0 s (attempt 3): exit code 3; its last words: boom',
    });
    expect(restartFact({ ...event, at: epoch + 999_000 }, 0)?.at).toBe(event.receivedAt);
    expect(restartFact({ ...event, data: { countsAsFailure: false, level: 'container' } }, 0)).toBeUndefined();
    expect(restartFact({ ...event, data: { countsAsFailure: true, level: 'host' } }, 0)).toBeUndefined();
    expect(restartFact({ ...event, kind: 'process.exited' }, 0)).toBeUndefined();
    expect(restartFact({ ...event, kind: 'restart.budget-exhausted', data: {} }, 0)?.budgetExhausted).toBe(true);
  });
});

describe('hosts', () => {
  const silent = (name: string, world: World, more: Partial<HostRecord> = {}): HostRecord =>
    hostRecord(name, { state: 'dead', stateSince: world.now, lastSeenAt: world.now - 60_000, ...more });

  test('a dead host is told once and keeps its workloads quiet; a restart of the collector changes nothing', () => {
    const world = worldOf('a', 'b', 'c');
    world.put(silent('a', world));
    world.step();
    for (let i = 0; i < 4; i += 1) world.step([world.fact('a', world.now)]);
    world.put(silent('a', world, { state: 'unknown' }));
    world.pass(minute);
    expect(world.brief).toEqual(['HostDead a firing critical']);
    world.put(hostRecord('a'));
    world.step();
    expect(world.brief.slice(1)).toEqual(['RepeatedRestarts a firing warning', 'HostDead a resolved critical']);
  });

  test('most of the fleet gone at once is one alert; who stays dead is told when the others are back', () => {
    const names = Array.from({ length: 20 }, (_, i) => `h${i}`);
    const world = worldOf(...names);
    for (const [i, name] of names.slice(0, 12).entries()) {
      world.put(hostRecord(name, { state: 'suspect', stateSince: world.now, lastSeenAt: world.now - 26_000 - i }));
    }
    world.step();
    world.now += 40_000;
    for (const name of names.slice(0, 12)) world.put(silent(name, world));
    world.step();
    expect(world.brief).toEqual(['FleetDisconnected  firing critical']);
    expect([...world.state.firing.values()].filter((alert) => alert.rule === 'HostDead')).toHaveLength(12);
    for (const name of names.slice(1, 12)) world.put(hostRecord(name));
    world.step();
    expect(world.brief.slice(1)).toEqual(['HostDead h0 firing critical', 'FleetDisconnected  resolved critical']);
  });

  test.each([
    ['fewer than 55 %', 10, 5],
    ['fewer than five hosts', 4, 4],
  ])('%s are alerts of their own', (_name, count, dead) => {
    const names = Array.from({ length: count }, (_, i) => `h${i}`);
    const world = worldOf(...names);
    world.put(...names.slice(0, dead).map((name) => silent(name, world)));
    world.step();
    expect(world.told.every((one) => one.rule === 'HostDead')).toBe(true);
    expect(world.told).toHaveLength(dead);
  });

  test('hosts that died one after the other are no mass', () => {
    const names = Array.from({ length: 6 }, (_, i) => `h${i}`);
    const world = worldOf(...names);
    for (const name of names) {
      world.put(silent(name, world));
      world.step();
      world.pass(5 * minute);
    }
    expect(world.told.map((one) => one.rule)).toEqual(names.map(() => 'HostDead'));
  });

  test('an agent that was stopped and never started again: told after half an hour, over when it is heard or forgotten', () => {
    const world = worldOf('a', 'b', 'gone');
    const stopped = { state: 'stopped', stateSince: world.now, reason: 'the agent was stopped', workloads: [workloadStatus('w')] } as const;
    const preempted: HostCondition = { ...low, name: 'preemption', subject: '' };
    world.put(hostRecord('a', stopped), hostRecord('b', stopped), hostRecord('gone', { ...stopped, conditions: [preempted] }));
    world.pass(config.hostStopped.afterMs - 1);
    expect(world.told).toEqual([]);
    world.pass(1);
    expect(world.brief).toEqual(['HostStopped a firing warning', 'HostStopped b firing warning']);
    expect(world.changes.map(({ alert }) => alert.summary)).toContain(
      'a has been stopped for more than 30 m 00 s (the agent was stopped); its workloads are not watched (last known: ready). On the host: systemctl status relight-agent',
    );
    world.told = [];
    world.put(hostRecord('a'));
    world.hosts.delete('b');
    world.step();
    expect(world.brief).toEqual(['HostStopped a resolved warning', 'HostStopped b resolved warning']);
  });

  test('an expected host that never arrives', () => {
    const world = new World();
    world.put(hostRecord('new', { state: 'expected', expectedBy: world.now + minute, lastSeenAt: null }));
    world.pass(minute - 1);
    expect(world.told).toEqual([]);
    world.pass(1);
    world.put(hostRecord('new'));
    world.step();
    expect(world.brief).toEqual(['HostMissing new firing critical', 'HostMissing new resolved critical']);
  });

  const low: HostCondition = {
    name: 'disk-low',
    subject: '/',
    severity: 'warning',
    since: epoch,
    reason: '4 % free',
    advice: 'Free space.',
  };

  test('conditions: one alert each while it lasts, worse is told, words are not; silence resolves nothing', () => {
    const world = worldOf('a');
    const gpu: HostCondition = { ...low, name: 'gpu-xid', subject: 'GPU 0', severity: 'critical' };
    world.put(hostRecord('a', { conditions: [low, gpu, { ...low, name: 'note', severity: 'info' }] }));
    world.step();
    world.put(hostRecord('a', { conditions: [{ ...low, reason: '3 % free' }, gpu] }));
    world.step();
    world.put(hostRecord('a', { state: 'disconnected', conditions: [{ ...low, severity: 'error' }] }));
    world.step();
    world.put(hostRecord('a', { conditions: [] }));
    world.step();
    expect(world.brief).toEqual([
      'HostCondition a firing warning',
      'HostCondition a firing critical',
      'HostCondition a firing error',
      'HostCondition a resolved critical',
      'HostCondition a resolved error',
    ]);
    expect(world.changes[0]?.alert).toMatchObject({
      summary: 'a: disk-low /: 4 % free. Free space.',
      labels: { alertname: 'HostCondition', host: 'a', subject: 'disk-low /' },
    });
  });

  test('nothing has begun after now, by whatever clock: what a former collector has stored so neither', () => {
    const world = worldOf('a');
    const ahead = epoch + 60 * minute;
    const held = workloadStatus('w', { phase: 'held', phaseSince: ahead });
    world.put(hostRecord('a', { conditions: [{ ...low, since: ahead }], workloads: [held] }));
    world.step();
    expect(world.changes.map(({ alert }) => [alert.rule, alert.startsAt])).toEqual([
      ['HostCondition', epoch],
      ['WorkloadHeld', epoch],
    ]);
    const stored = [...world.state.firing].map(([key, alert]) => [key, { ...alert, startsAt: ahead }] as const);
    world.state = { ...world.state, firing: new Map(stored) };
    world.pass(minute);
    world.pass(minute);
    expect(world.changes.slice(2).map(({ alert, transition, notify }) => [alert.startsAt, transition, notify])).toEqual([
      [epoch + minute, 'updated', false],
      [epoch + minute, 'updated', false],
    ]);
  });

  test('a host that has spent its allowance is heard of no more, but that it has', () => {
    const world = worldOf('a');
    world.spent = new Set(['a']);
    world.put(hostRecord('a', { conditions: [low, { ...low, name: 'over-allowance', subject: '' }] }));
    world.step();
    expect(world.changes.map(({ alert }) => `${alert.labels['subject']} ${alert.state}`)).toEqual(['over-allowance firing']);
  });

  test('the advice of a condition is a sentence of its own behind a question, too', () => {
    const world = worldOf('a');
    const question = { ...low, subject: '', reason: 'unknown field; did you mean "command"?' };
    world.put(hostRecord('a', { conditions: [low, { ...question, name: 'typo' }] }));
    world.step();
    const summaries = world.changes.map(({ alert }) => alert.summary);
    expect(summaries).toEqual(['a: disk-low /: 4 % free. Free space.', 'a: typo: unknown field; did you mean "command"? Free space.']);
  });

  test('a dead host keeps its conditions quiet', () => {
    const world = worldOf('a');
    world.put(silent('a', world, { conditions: [low] }));
    world.step();
    expect(world.brief).toEqual(['HostDead a firing critical']);
    world.put(hostRecord('a', { conditions: [low] }));
    world.step();
    expect(world.brief.slice(1)).toEqual(['HostCondition a firing warning', 'HostDead a resolved critical']);
  });

  test('an announced departure is news until it has happened', () => {
    const world = worldOf('a');
    const preempted: HostCondition = { ...low, name: 'preemption', subject: '' };
    world.put(hostRecord('a', { conditions: [preempted, low] }));
    world.step();
    world.put(hostRecord('a', { state: 'stopped', conditions: [preempted, low] }));
    world.step();
    expect(world.changes.map(({ alert }) => `${alert.labels['subject']} ${alert.state}`)).toEqual([
      'preemption firing',
      'disk-low / firing',
      'preemption resolved',
    ]);
  });

  test('a held workload', () => {
    const world = worldOf('a');
    world.put(hostRecord('a', { workloads: [workloadStatus('w', { phase: 'held', reason: 'no such image' })] }));
    world.step();
    world.step();
    world.put(hostRecord('a', { workloads: [workloadStatus('w')] }));
    world.step();
    expect(world.brief).toEqual(['WorkloadHeld a firing warning', 'WorkloadHeld a resolved warning']);
    expect(world.changes[0]?.alert.summary).toContain('no such image');
  });

  test('a held workload that looks again is one alert; an attempt that lasts is more than a look', () => {
    const world = worldOf('a');
    const put = (phase: WorkloadStatus['phase'], phaseSince = world.now): void =>
      world.put(hostRecord('a', { workloads: [workloadStatus('w', { phase, phaseSince, reason: 'no such image' })] }));
    for (let look = 0; look < 5; look += 1) {
      for (const phase of ['held', 'waiting', 'pulling'] as const) {
        world.now += minute;
        put(phase);
        world.step();
      }
    }
    expect(world.brief).toEqual(['WorkloadHeld a firing warning']);
    put('pulling', world.now - 2 * minute);
    world.step();
    expect(world.brief).toEqual(['WorkloadHeld a firing warning', 'WorkloadHeld a resolved warning']);
    put('waiting');
    world.step();
    expect(world.brief).toHaveLength(2);
  });
});

describe('any sequence', () => {
  type Step =
    | { do: 'restart'; host: string; count: number; late: number }
    | { do: 'exhaust'; host: string }
    | { do: 'state'; host: string; state: HostRecord['state'] }
    | { do: 'pass'; ms: number }
    | { do: 'collector-restart' };
  const host = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      do: fc.constant('restart' as const),
      host,
      count: fc.integer({ min: 1, max: 6 }),
      late: fc.integer({ min: 0, max: 40 * minute }),
    }),
    fc.record({ do: fc.constant('exhaust' as const), host }),
    fc.record({
      do: fc.constant('state' as const),
      host,
      state: fc.constantFrom('connected', 'disconnected', 'suspect', 'dead', 'unknown', 'stopped'),
    }),
    fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 20 * minute }) }),
    fc.constant({ do: 'collector-restart' as const }),
  );

  /** What lasts long enough within the moment after a restart is told, and no restart of the collector takes it back. */
  const duringTheMomentAfter: Step[] = [
    { do: 'state', host: 'a', state: 'stopped' },
    { do: 'pass', ms: 30 * minute - statusFollowsMs },
    { do: 'restart', host: 'a', count: 1, late: 0 },
    { do: 'collector-restart' },
  ];
  /** An end that a group was told of before is told once, also by a collector that is started when the group may be told again. */
  const endToldBefore: Step[] = [
    { do: 'state', host: 'a', state: 'stopped' },
    { do: 'state', host: 'e', state: 'stopped' },
    { do: 'pass', ms: 30 * minute },
    { do: 'pass', ms: 30_000 },
    { do: 'state', host: 'a', state: 'connected' },
    { do: 'pass', ms: 5 * minute },
    { do: 'pass', ms: 5 * minute - statusFollowsMs },
    { do: 'restart', host: 'a', count: 1, late: 0 },
    { do: 'collector-restart' },
  ];

  /** What is wrong with what a receiver was told. */
  function wrongs(world: World): string[] {
    const found: string[] = [];
    const known = new Map<string, string>();
    for (const { alert, notify } of world.changes) {
      if (!notify) continue;
      const key = alertKey(alert);
      const says = alert.state === 'resolved' ? 'resolved' : alert.severity;
      if ((known.get(key) ?? 'resolved') === says) found.push(`${key} told ${says} twice`);
      known.set(key, says);
    }
    const inhibiting = (rule: string): boolean => [...world.state.firing.values()].some((alert) => alert.rule === rule);
    for (const [key, alert] of world.state.firing) {
      const quiet = inhibiting('FleetDisconnected') || (alert.workload !== null && inhibiting('HostDead'));
      if (!quiet && known.get(key) !== alert.severity) found.push(`${key} is ${alert.severity}, told ${known.get(key)}`);
    }
    for (const [key, says] of known) if (says !== 'resolved' && !world.state.firing.has(key)) found.push(`${key} never told resolved`);
    return found;
  }

  test('what was over when it arrived is over after a restart of the collector too', () => {
    const world = worldOf('c');
    const facts = Array.from({ length: 3 }, () => world.fact('c', world.now - 15 * minute));
    world.step(facts);
    const late = world.fact('c', world.now - 1);
    world.step([late]);
    expect(world.changes).toEqual([]);
    world.state = restore([], [...facts, late], [], config.repeatedRestarts);
    world.step();
    expect(world.changes).toEqual([]);
  });

  test('is told exactly once per change of state or severity, over restarts of the collector', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const world = worldOf('a', 'b', 'c', 'd', 'e', 'f');
        const facts: RestartFact[] = [];
        // As the store has them: each alert with what was said of it last.
        const stored = new Map<string, AlertRecord>();
        const changedByRestart: AlertChange[] = [];
        for (const one of steps) {
          const before = world.changes.length;
          if (one.do === 'restart' || one.do === 'exhaust') {
            const count = one.do === 'restart' ? one.count : 1;
            const late = one.do === 'restart' ? one.late : 0;
            const fresh = Array.from({ length: count }, () => world.fact(one.host, world.now - late, one.do === 'exhaust'));
            facts.push(...fresh);
            world.step(fresh);
          } else if (one.do === 'state') {
            world.put(
              hostRecord(one.host, { state: one.state, stateSince: world.now, lastSeenAt: world.now, workloads: [workloadStatus('w')] }),
            );
            world.step();
          } else if (one.do === 'pass') world.pass(one.ms);
          else {
            world.state = restore([...stored.values()], facts, [], config.repeatedRestarts);
            world.step();
            changedByRestart.push(...world.changes.slice(before));
          }
          for (const { alert } of world.changes.slice(before)) stored.set(alert.id, alert);
        }
        // What was held back while a host was away is told once its status is there.
        world.pass(statusFollowsMs);
        expect(wrongs(world)).toEqual([]);
        expect(changedByRestart).toEqual([]);
      }),
      { numRuns: Number(process.env['RELIGHT_PROPERTY_RUNS'] ?? 300), examples: [[duringTheMomentAfter], [endToldBefore]] },
    );
  });

  test('of restarts on one heard host: as many messages as a plain reading of the thresholds has changes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 * minute }), { maxLength: 40 }), (pauses) => {
        const world = worldOf('a');
        let level = 'none';
        let times: number[] = [];
        let expected = 0;
        for (const pause of pauses) {
          world.now += pause;
          if (level !== 'none' && world.now - (times.at(-1) ?? 0) >= config.repeatedRestarts.resolveAfterMs) {
            expected += 1;
            level = 'none';
            times = [];
          }
          world.step();
          const at = world.now;
          times.push(at);
          world.restart();
          const within = (ms: number): number => times.filter((time) => time > at - ms).length;
          const next =
            level === 'critical' || within(30 * minute) >= 5
              ? 'critical'
              : level === 'warning' || within(10 * minute) >= 3
                ? 'warning'
                : 'none';
          if (next !== level) expected += 1;
          level = next;
        }
        expect(world.told).toHaveLength(expected);
      }),
      { numRuns: 300 },
    );
  });
});
