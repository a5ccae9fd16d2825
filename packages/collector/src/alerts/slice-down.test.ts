/** A slice that is down is one alert, which names who failed first; whatever order its hosts report in. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HostCondition } from '@relight/shared/status';
import { epoch, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import type { AlertsConfig } from '../config.ts';
import type { AlertRecord, HostRecord } from '../store/store.ts';
import { evaluate, type AlertsState } from './evaluate.ts';
import type { RestartFact } from './repeated-restarts.ts';
import { restore } from './restore.ts';
import type { Fall } from './slice-falls.ts';

const minute = 60_000;
const config: AlertsConfig = {
  repeatedRestarts: {
    warning: { count: 3, withinMs: 10 * minute },
    critical: { count: 5, withinMs: 30 * minute },
    resolveAfterMs: 15 * minute,
  },
  hostDead: { severity: 'critical' },
  hostStopped: { afterMs: 1_800_000 },
  dependencyDown: { afterMs: 60_000 },
  engineDown: { afterMs: 60_000 },
  sliceDown: { afterMs: 60_000 },
  group: { waitMs: 30_000, intervalMs: 300_000 },
  sinks: [],
};
const slice = 's0';
const closed = 'process exited with code 134 (SIGABRT): PollForError';

class World {
  now = epoch + 60 * minute;
  readonly hosts = new Map<string, HostRecord>();
  readonly told: string[] = [];
  /** What the collector has stored, for its restart. */
  readonly stored = { falls: new Map<string, Fall>(), facts: [] as RestartFact[], alerts: new Map<string, AlertRecord>() };
  #state: AlertsState = { tracks: new Map(), falls: new Map(), firing: new Map(), ended: new Map() };
  #fresh: Fall[] = [];
  #id = 0;

  constructor(...names: readonly string[]) {
    for (const name of names) this.put(hostRecord(name, { labels: { slice }, workloads: [workloadStatus('w')] }));
  }

  put(...hosts: readonly HostRecord[]): void {
    for (const host of hosts) this.hosts.set(host.name, host);
  }
  change(name: string, more: Partial<HostRecord>): void {
    const host = this.hosts.get(name);
    if (host !== undefined) this.put({ ...host, ...more });
  }
  /** The event comes first, the status and the incident a moment later; nothing waits for that here. */
  falls(name: string, code: string, cause = code, at = this.now): Fall {
    const fall = { host: name, workload: 'w', id: `i${(this.#id += 1)}`, code, cause, openedAt: at, failedAt: at, closedAt: null };
    this.says(fall);
    const phase = code === 'slice-peer-failed' ? 'waiting' : 'starting';
    this.change(name, { workloads: [workloadStatus('w', { phase, phaseSince: at, readyAt: null, reason: cause })] });
    return fall;
  }
  says(fall: Fall): void {
    this.#fresh.push(fall);
    this.stored.falls.set(fall.id, fall);
  }
  ready(name: string): void {
    this.change(name, { workloads: [workloadStatus('w', { phaseSince: this.now, readyAt: this.now })] });
    for (const fall of this.stored.falls.values())
      if (fall.host === name && fall.closedAt === null) this.says({ ...fall, closedAt: this.now });
  }
  /** One more counted failure of each. */
  step(...restartsOf: readonly string[]): void {
    const restarts = restartsOf.map((host) => {
      const at = this.now;
      return { eventId: (this.#id += 1), host, workload: 'w', at, receivedAt: at, budgetExhausted: false, why: '' };
    });
    this.stored.facts.push(...restarts);
    const falls = this.#fresh;
    this.#fresh = [];
    const { state, changes } = evaluate(this.#state, { hosts: this.hosts, restarts, falls, now: this.now }, config);
    this.#state = state;
    for (const { alert, notify } of changes) {
      this.stored.alerts.set(alert.id, alert);
      if (notify) this.told.push(`${alert.rule} ${alert.host}${alert.labels['subject'] ?? ''} ${alert.state}`);
    }
  }
  pass(ms: number): void {
    this.now += ms;
    this.step();
  }
  /** The collector is started anew: it has what is stored, and hosts are unknown until heard. */
  restart(): void {
    const alerts = JSON.parse(JSON.stringify([...this.stored.alerts.values()])) as AlertRecord[];
    const falls = [...this.stored.falls.values()].toSorted((a, b) => a.openedAt - b.openedAt);
    this.#state = restore(alerts, this.stored.facts, falls, config.repeatedRestarts);
    this.#fresh = [];
  }
  /** The summary of what fires for the slice; null: nothing does. */
  get shown(): string | null {
    const found = [...this.#state.firing.values()].filter(({ rule }) => rule === 'SliceDown');
    if (found.length > 1) throw new Error('a slice has one alert');
    return found[0]?.summary ?? null;
  }
}

const began = (who: string, count: string, waiting: string): string =>
  `slice s0 is down: it began with ${who}; ${count} for it: ${waiting}`;

describe('who failed first', () => {
  test('is shown at once with who waits, told when it lasts, and resolved when all are back; their restarts are not told', () => {
    const world = new World('a', 'b', 'c', 'd');
    world.falls('a', 'slice-peer-failed', closed);
    world.step();
    expect(world.shown).toBe('slice s0 is down: 1 workload waits for another host of it, and none says a cause of its own: a/w');
    world.pass(500);
    world.falls('b', 'process-oom', 'the kernel killed python3 for want of memory');
    world.falls('c', 'slice-peer-failed', closed);
    world.falls('d', 'slice-peer-failed', closed);
    world.step();
    const why = 'b/w: the kernel killed python3 for want of memory';
    expect(world.shown).toBe(began(why, '3 workloads wait', 'a/w, c/w, d/w'));
    world.step('a', 'a', 'a', 'a', 'a', 'b', 'b', 'b');
    world.pass(config.sliceDown.afterMs - 501);
    expect(world.told).toEqual([]);
    world.pass(1);
    expect(world.told).toEqual(['SliceDown s0 firing']);
    world.ready('b');
    world.pass(1_000);
    expect(world.shown).toBe(began(`${why} (ready again)`, '3 workloads wait', 'a/w, c/w, d/w'));
    for (const name of ['a', 'c', 'd']) world.ready(name);
    world.pass(1_000);
    expect(world.shown).toBeNull();
    for (let i = 0; i < 20; i += 1) world.pass(minute);
    expect(world.told).toEqual(['SliceDown s0 firing', 'SliceDown s0 resolved']);
  });

  test('what is mended before a minute is over is told to nobody', () => {
    const world = new World('a', 'b');
    world.falls('a', 'container-oom');
    world.falls('b', 'slice-peer-failed', closed);
    world.pass(40_000);
    expect(world.shown).not.toBeNull();
    world.ready('a');
    world.ready('b');
    world.pass(minute);
    expect(world.told).toEqual([]);
  });

  test('a cause is better than an end that nobody can explain; of two the earlier; clocks are put right', () => {
    const world = new World('a', 'b', 'c');
    world.falls('a', 'slice-peer-failed', closed);
    world.falls('b', 'process-exited', 'exit code 1', world.now - 5_000);
    world.step();
    expect(world.shown).toContain('it began with b/w: exit code 1;');
    world.change('c', { clockSkewMs: 10 * minute });
    world.falls('c', 'mount-lost', 'the mount died', world.now + 10 * minute + 2_000);
    world.step();
    expect(world.shown).toContain('it began with c/w: the mount died;');
  });

  test('what was over before the others fell is only perhaps the cause, and anything else is a better one', () => {
    const world = new World('a', 'b', 'c');
    world.falls('b', 'process-oom');
    world.pass(2_000);
    world.ready('b');
    world.pass(30_000);
    world.falls('a', 'slice-peer-failed', closed);
    world.step();
    expect(world.shown).toContain('perhaps because of b/w: process-oom (ready again);');
    world.falls('c', 'process-exited', 'exit code 7');
    world.step();
    expect(world.shown).toContain('it began with c/w: exit code 7;');
  });

  test('a silent host, before anything says that it is dead, and one alert for both', () => {
    const world = new World('a', 'b');
    world.change('b', { state: 'disconnected', reason: 'the connection broke', lastSeenAt: world.now - 9_000 });
    world.falls('a', 'slice-peer-failed', closed);
    world.step();
    expect(world.shown).toBe(began('b: it is disconnected: the connection broke', '1 workload waits', 'a/w'));
    world.pass(50_000);
    world.change('b', { state: 'dead', reason: 'silent for 60 s' });
    world.pass(10_000);
    expect(world.told).toEqual(['SliceDown s0 firing']);
    world.change('b', { state: 'connected', reason: 'connected' });
    world.pass(1_000);
    expect(world.shown).toContain('it began with b: it is dead: silent for 60 s (over); 1 workload waits');
    world.restart();
    world.pass(20 * minute);
    expect(world.shown).toContain('it began with b: it is dead: silent for 60 s (over); 1 workload waits');
    world.falls('b', 'process-exited', 'the process was killed', world.now - 21 * minute - 5_000);
    world.step('b', 'b', 'b');
    world.pass(2_000);
    expect(world.shown).toContain('it began with b/w: the process was killed; 1 workload waits');
    world.ready('a');
    world.ready('b');
    world.pass(1_000);
    expect(world.told).toEqual(['SliceDown s0 firing', 'SliceDown s0 resolved']);
  });

  test('a host that stays dead when the others work again is told then', () => {
    const world = new World('a', 'b');
    world.falls('a', 'slice-peer-failed', closed);
    world.change('b', { state: 'dead', reason: 'silent', lastSeenAt: world.now });
    world.pass(minute);
    world.ready('a');
    world.pass(1_000);
    expect(world.told).toEqual(['SliceDown s0 firing', 'HostDead b firing', 'SliceDown s0 resolved']);
  });

  test('a host that has had something wrong with it since, or is about to go; not what was wrong long before or came of it', () => {
    const condition = (name: string, since: number, more: Partial<HostCondition> = {}): HostCondition => {
      return { name, subject: '', severity: 'critical', since, reason: 'bad', advice: '', ...more };
    };
    const world = new World('a', 'b', 'c');
    world.falls('a', 'slice-peer-failed', closed);
    world.change('b', {
      conditions: [
        condition('disk-low', epoch),
        condition('disk-full', world.now + 20_000),
        condition('core-dumps', world.now, { severity: 'warning' }),
      ],
    });
    world.step();
    expect(world.shown).toContain('none says a cause of its own');
    world.change('c', {
      conditions: [condition('preemption', world.now - 1_000, { severity: 'warning', reason: 'the cloud takes it away' })],
    });
    world.step();
    expect(world.shown).toContain('it began with c: preemption: the cloud takes it away;');
    world.change('b', { conditions: [condition('gpu-xid', world.now - 3_000, { subject: '0', reason: 'Xid 79' })] });
    world.change('a', { conditions: [condition('disk-errors', world.now - 4_000)] });
    world.pass(minute);
    // The one that saw another fail is not blamed: its agent knew of its disk when it said so.
    expect(world.shown).toContain('it began with b: gpu-xid 0: Xid 79;');
    // Told the moment it was raised, as the others: nobody knew by then which of them mattered.
    expect(world.told.filter((what) => what.startsWith('SliceDown'))).toHaveLength(1);
    expect(world.told.filter((what) => what.includes('gpu-xid'))).toEqual([]);
  });

  test('one that was away before, or was merely started anew, is only perhaps the cause; of several that were, none', () => {
    const world = new World('a', 'b', 'c');
    world.falls('a', 'slice-peer-failed', closed);
    world.change('b', { workloads: [workloadStatus('w', { readyAt: world.now - 4_000 })] });
    world.step();
    expect(world.shown).toContain('perhaps because of b/w: it was started anew without having failed;');
    world.change('c', { workloads: [workloadStatus('w', { readyAt: world.now - 3_000 })] });
    world.ready('a');
    world.step();
    world.falls('a', 'slice-peer-failed', closed);
    world.step();
    expect(world.shown).toContain('none says a cause of its own');
    world.change('b', { state: 'stopped', reason: 'its agent was stopped', lastSeenAt: epoch });
    world.step();
    expect(world.shown).toContain('perhaps because of b: it is stopped: its agent was stopped;');
  });
});

describe('who waits', () => {
  test('no host without the label, none of another slice, and nobody who was held or paused meanwhile', () => {
    const world = new World('a', 'b', 'c');
    world.put(hostRecord('none', { workloads: [workloadStatus('w')] }));
    world.put(hostRecord('empty', { labels: { slice: '' }, workloads: [workloadStatus('w')] }));
    world.put(hostRecord('other', { labels: { slice: 's1' }, workloads: [workloadStatus('w')] }));
    for (const name of ['none', 'empty']) world.falls(name, 'slice-peer-failed', closed);
    world.falls('other', 'process-oom', 'another one');
    world.step();
    expect(world.shown).toBeNull();
    for (const name of ['a', 'b', 'c']) world.falls(name, 'slice-peer-failed', closed);
    world.change('b', { workloads: [workloadStatus('w', { phase: 'held', readyAt: null })] });
    world.change('c', { workloads: [workloadStatus('w', { phase: 'paused', readyAt: null })] });
    world.step();
    expect(world.shown).toBe('slice s0 is down: 1 workload waits for another host of it, and none says a cause of its own: a/w');
    world.hosts.delete('a');
    world.step();
    expect(world.shown).toBeNull();
  });

  test('one that fails of something else when the slice is complete again waits no more, and its restarts are told', () => {
    const world = new World('a', 'b');
    world.falls('b', 'process-oom');
    world.falls('a', 'slice-peer-failed', closed);
    world.step('a', 'a');
    world.pass(5_000);
    world.ready('b');
    world.pass(1_000);
    expect(world.shown).toContain('(ready again)');
    world.step('a');
    expect(world.shown).toBeNull();
    world.pass(1_000);
    world.step('a');
    world.pass(2_000);
    expect(world.told).toEqual(['RepeatedRestarts a firing']);
  });

  test('an agent that forgot its incident is believed when it says that the workload is ready', () => {
    const world = new World('a', 'b');
    world.falls('a', 'slice-peer-failed', closed);
    world.pass(1_000);
    world.change('a', { workloads: [workloadStatus('w', { readyAt: world.now })] });
    world.pass(1_000);
    expect(world.shown).toBeNull();
  });
});

const names = ['a', 'b', 'c', 'd'] as const;
const step = fc.oneof(
  fc.record({ what: fc.constantFrom('peer', 'own', 'ready', 'held', 'silent', 'heard'), host: fc.constantFrom(...names) }),
  fc.record({ what: fc.constantFrom('pass', 'collector'), ms: fc.integer({ min: 1, max: 3 * minute }) }),
);

test('whatever happens: shown exactly while somebody waits, told once an episode, over restarts of the collector', () => {
  const play = (world: World, waiting: Set<string>, what: string, host: string): void => {
    const isReady = world.hosts.get(host)?.workloads[0]?.phase === 'ready';
    if (what === 'silent') world.change(host, { state: 'dead', reason: 'silent', lastSeenAt: world.now });
    else if (what === 'heard') world.change(host, { state: 'connected', reason: 'connected', lastSeenAt: world.now });
    else if (isReady && what === 'peer') {
      world.falls(host, 'slice-peer-failed');
      waiting.add(host);
    } else if (isReady && what === 'own') world.falls(host, 'process-oom');
    else if (!isReady && what !== 'peer' && what !== 'own') {
      if (what === 'ready') world.ready(host);
      else world.change(host, { workloads: [workloadStatus('w', { phase: 'held', readyAt: null })] });
      waiting.delete(host);
    }
  };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const world = new World(...names);
      const waiting = new Set<string>();
      const times = (state: string): number => world.told.filter((what) => what === `SliceDown ${slice} ${state}`).length;
      let since: number | null = null;
      for (const one of steps) {
        if ('host' in one) play(world, waiting, one.what, one.host);
        else if (one.what === 'collector') world.restart();
        world.pass('ms' in one ? one.ms : 1);
        since = waiting.size === 0 ? null : (since ?? world.now - 1);
        expect(world.shown !== null).toBe(since !== null);
        for (const name of waiting) expect(world.shown).toContain(`${name}/w`);
        const isDue = since !== null && world.now - since >= config.sliceDown.afterMs;
        expect(times('firing') - times('resolved')).toBe(isDue ? 1 : 0);
      }
      for (const name of names) world.ready(name);
      world.pass(1_000);
      expect(world.shown).toBeNull();
      expect(times('resolved')).toBe(times('firing'));
    }),
    { numRuns: Number(process.env['RELIGHT_PROPERTY_RUNS'] ?? 300) },
  );
});
