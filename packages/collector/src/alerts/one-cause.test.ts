/** One cause, one notification: a dead head or a dead engine is one alert, not one for each workload that it holds. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { epoch, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { readConfig } from '../config.ts';
import type { HostRecord } from '../store/store.ts';
import { evaluate, type AlertsState } from './evaluate.ts';
import { statusFollowsMs } from './telling.ts';

const minute = 60_000;
const head = '10.0.0.1:6379';
const config = readConfig(null).alerts;

class World {
  now = epoch;
  readonly hosts = new Map<string, HostRecord>();
  readonly told: string[] = [];
  readonly summaries: string[] = [];
  #state: AlertsState = { tracks: new Map(), falls: new Map(), firing: new Map(), ended: new Map() };
  #eventId = 0;

  put(...hosts: HostRecord[]): void {
    for (const host of hosts) this.hosts.set(host.name, host);
  }
  step(restartsOf: readonly string[] = []): void {
    const restarts = restartsOf.map((host) => ({
      eventId: (this.#eventId += 1),
      host,
      workload: 'w',
      at: this.now,
      receivedAt: this.now,
      budgetExhausted: false,
      why: '',
    }));
    const { state, changes } = evaluate(this.#state, { hosts: this.hosts, restarts, falls: [], now: this.now }, config);
    this.#state = state;
    for (const { alert, notify } of changes) {
      if (!notify) continue;
      this.told.push(`${alert.rule} ${alert.host}${alert.labels['subject'] ?? ''} ${alert.state}`);
      this.summaries.push(alert.summary);
    }
  }
  pass(ms: number): void {
    this.now += ms;
    this.step();
  }
}

const waiting = (world: World, name: string): HostRecord =>
  hostRecord(name, { workloads: [workloadStatus('w', { phase: 'waiting', phaseSince: world.now, waitingFor: head })] });
const ready = (name: string): HostRecord => hostRecord(name, { workloads: [workloadStatus('w')] });

describe('DependencyDown', () => {
  test('a dead head is one alert that names who waits, and keeps their repeated restarts quiet', () => {
    const world = new World();
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    world.put(...names.map((name) => waiting(world, name)));
    world.step(names);
    world.pass(config.dependencyDown.afterMs - 1);
    expect(world.told).toEqual([]);
    world.pass(1);
    expect(world.told).toEqual([`DependencyDown ${head} firing`]);
    expect(world.summaries).toEqual([`${head} does not answer; 7 workloads wait for it: a/w, b/w, c/w, d/w, e/w and 2 more`]);
    for (let i = 0; i < 4; i += 1) {
      world.now += minute;
      world.step(names);
      world.pass(2_000);
    }
    expect(world.told).toHaveLength(1);
    world.put(...names.map((name) => ready(name)));
    world.pass(20 * minute);
    expect(world.told.slice(1)).toEqual([`DependencyDown ${head} resolved`]);
  });

  test('what its absence has done is not told when it is over; one more restart of the same kind is', () => {
    const world = new World();
    world.put(waiting(world, 'a'));
    world.step(['a', 'a', 'a', 'a', 'a']);
    world.pass(config.dependencyDown.afterMs);
    world.put(ready('a'));
    for (let i = 0; i < 10; i += 1) world.pass(1_000);
    expect(world.told).toEqual([`DependencyDown ${head} firing`, `DependencyDown ${head} resolved`]);
    world.step(['a']);
    world.pass(statusFollowsMs);
    expect(world.told.slice(2)).toEqual(['RepeatedRestarts a firing']);
  });

  test('in whatever order events and states arrive, a cause is told at most once, and nothing else', () => {
    const hosts = ['a', 'b', 'c'];
    const absenceMs = fc.integer({ min: 0, max: 3 * minute });
    const orders = fc.array(fc.shuffledSubarray([...hosts, ...hosts.map((name) => `waits ${name}`)], { minLength: 6 }), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(
        orders,
        absenceMs,
        fc.integer({ min: 5, max: 9 }),
        fc.array(fc.nat(90), { minLength: 36, maxLength: 36 }),
        (all, absent, restarts, gaps) => {
          const world = new World();
          world.put(...hosts.map((name) => ready(name)));
          world.pass(minute);
          for (const order of all) {
            // The status of a host and the events of its restarts come within a moment of one another.
            for (const [index, step] of order.entries()) {
              if (step.startsWith('waits ')) world.put(waiting(world, step.slice(6)));
              else world.step(Array.from({ length: restarts }, () => step));
              world.pass(gaps[index] ?? 0);
            }
            world.pass(absent);
            for (const [index, name] of hosts.entries()) {
              world.put(ready(name));
              world.pass(gaps[6 + index] ?? 0);
            }
            for (let i = 0; i < 5; i += 1) world.pass(1_000);
            const firing = world.told.filter((what) => what.endsWith('firing'));
            const long = absent >= config.dependencyDown.afterMs;
            expect(firing.length).toBeGreaterThanOrEqual(long ? 1 : 0);
            expect(new Set(firing)).toEqual(new Set(firing.length === 0 ? [] : [`DependencyDown ${head} firing`]));
            expect(firing.length).toBeLessThanOrEqual(all.indexOf(order) + 1);
            expect(world.told.filter((what) => what.endsWith('resolved'))).toHaveLength(firing.length);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('each dependency has its own; a short absence and an unnamed wait are none', () => {
    const world = new World();
    const other = workloadStatus('w', { phase: 'waiting', phaseSince: world.now, waitingFor: '10.0.0.2:6379' });
    world.put(waiting(world, 'a'), hostRecord('b', { workloads: [other] }));
    world.put(hostRecord('c', { workloads: [workloadStatus('w', { phase: 'waiting', phaseSince: world.now })] }));
    world.pass(config.dependencyDown.afterMs);
    expect(world.told.toSorted()).toEqual(['DependencyDown 10.0.0.1:6379 firing', 'DependencyDown 10.0.0.2:6379 firing']);
  });

  test('a fast clock on the host does not make it older', () => {
    const world = new World();
    const early = workloadStatus('w', { phase: 'waiting', phaseSince: world.now - 10 * minute, waitingFor: head });
    world.put(hostRecord('a', { clockSkewMs: -10 * minute, workloads: [early] }));
    world.step();
    expect(world.told).toEqual([]);
  });
});

describe('EngineDown', () => {
  const down = (world: World, name: string, more: Partial<HostRecord> = {}): HostRecord =>
    hostRecord(name, {
      engine: { state: 'down', since: world.now },
      workloads: [workloadStatus('w', { phase: 'unknown' }), workloadStatus('v', { phase: 'unknown' })],
      ...more,
    });

  test('is told after a minute, once, instead of what its workloads suffer', () => {
    const world = new World();
    const record = down(world, 'a');
    world.put(record);
    world.pass(config.engineDown.afterMs);
    expect(world.told).toEqual(['EngineDown a firing']);
    world.step(['a', 'a', 'a', 'a', 'a']);
    world.put({ ...record, state: 'suspect' });
    world.pass(minute);
    expect(world.told).toHaveLength(1);
    world.put({ ...record, engine: { state: 'up', since: world.now } });
    world.pass(1_000);
    expect(world.told).toEqual(['EngineDown a firing', 'EngineDown a resolved']);
    world.pass(20 * minute);
    expect(world.told).toEqual(['EngineDown a firing', 'EngineDown a resolved']);
  });

  test('an engine that restarts is none', () => {
    const world = new World();
    world.put(down(world, 'a'));
    world.pass(config.engineDown.afterMs - 1);
    world.put(hostRecord('a', { engine: { state: 'up', since: world.now } }));
    world.pass(minute);
    expect(world.told).toEqual([]);
  });

  test('a dead host explains its engine', () => {
    const world = new World();
    world.put(down(world, 'a', { state: 'dead' }));
    world.pass(config.engineDown.afterMs);
    expect(world.told).toEqual(['HostDead a firing']);
  });
});
