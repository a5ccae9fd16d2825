/** One cause, one notification: a dead head or a dead engine is one alert, not one for each workload that it holds. */
import { describe, expect, test } from 'vitest';
import { epoch, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import type { AlertsConfig } from '../config.ts';
import type { HostRecord } from '../store/store.ts';
import { dependencyDownAfterMs } from './dependency-down.ts';
import { engineDownAfterMs } from './engine-down.ts';
import { evaluate, type AlertsState } from './evaluate.ts';

const minute = 60_000;
const head = '10.0.0.1:6379';
const config: AlertsConfig = {
  repeatedRestarts: {
    warning: { count: 3, withinMs: 10 * minute },
    critical: { count: 5, withinMs: 30 * minute },
    resolveAfterMs: 15 * minute,
  },
  hostDead: { severity: 'critical' },
  sinks: [],
};

class World {
  now = epoch;
  readonly hosts = new Map<string, HostRecord>();
  readonly told: string[] = [];
  readonly summaries: string[] = [];
  #state: AlertsState = { tracks: new Map(), firing: new Map() };
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
    }));
    const { state, changes } = evaluate(this.#state, { hosts: this.hosts, restarts, now: this.now }, config);
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
    world.pass(dependencyDownAfterMs - 1);
    expect(world.told).toEqual([]);
    world.pass(1);
    expect(world.told).toEqual([`DependencyDown ${head} firing`]);
    expect(world.summaries).toEqual([`${head} does not answer; 7 workloads wait for it: a/w, b/w, c/w, d/w, e/w and 2 more`]);
    for (let i = 0; i < 4; i += 1) {
      world.now += minute;
      world.step(names);
    }
    expect(world.told).toHaveLength(1);
    world.put(...names.map((name) => ready(name)));
    world.pass(20 * minute);
    expect(world.told.slice(1)).toEqual([`DependencyDown ${head} resolved`]);
  });

  test('each dependency has its own; a short absence and an unnamed wait are none', () => {
    const world = new World();
    const other = workloadStatus('w', { phase: 'waiting', phaseSince: world.now, waitingFor: '10.0.0.2:6379' });
    world.put(waiting(world, 'a'), hostRecord('b', { workloads: [other] }));
    world.put(hostRecord('c', { workloads: [workloadStatus('w', { phase: 'waiting', phaseSince: world.now })] }));
    world.pass(dependencyDownAfterMs);
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
    world.pass(engineDownAfterMs);
    expect(world.told).toEqual(['EngineDown a firing']);
    world.step(['a', 'a', 'a', 'a', 'a']);
    world.put({ ...record, state: 'suspect' });
    world.pass(minute);
    expect(world.told).toHaveLength(1);
    world.put({ ...record, engine: { state: 'up', since: world.now } });
    world.pass(20 * minute);
    expect(world.told).toEqual(['EngineDown a firing', 'EngineDown a resolved']);
  });

  test('an engine that restarts is none', () => {
    const world = new World();
    world.put(down(world, 'a'));
    world.pass(engineDownAfterMs - 1);
    world.put(hostRecord('a', { engine: { state: 'up', since: world.now } }));
    world.pass(minute);
    expect(world.told).toEqual([]);
  });

  test('a dead host explains its engine', () => {
    const world = new World();
    world.put(down(world, 'a', { state: 'dead' }));
    world.pass(engineDownAfterMs);
    expect(world.told).toEqual(['HostDead a firing']);
  });
});
