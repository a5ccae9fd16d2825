/** What one cause raises on many hosts is one message of a webhook, and a receiver of such messages knows in the end what is so. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HostCondition } from '@relight/shared/status';
import { epoch, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { readConfig } from '../config.ts';
import type { AlertRecord, HostRecord } from '../store/store.ts';
import { evaluate, type AlertsState } from './evaluate.ts';
import type { Notice } from './gathering.ts';
import { restore } from './restore.ts';
import { webhookSink } from './sinks/webhook.ts';

const second = 1_000;
const minute = 60_000;
const config = readConfig(null).alerts;
const { waitMs, intervalMs } = config.group;
const sink = webhookSink('hook', 'http://127.0.0.1:9/', '');

interface Message {
  readonly status: string;
  readonly groupKey: string;
  readonly groupLabels: Readonly<Record<string, string>>;
  readonly commonLabels: Readonly<Record<string, string>>;
  readonly commonAnnotations: Readonly<Record<string, string>>;
  readonly truncatedAlerts: number;
  readonly alerts: readonly { readonly status: string; readonly labels: Readonly<Record<string, string>>; readonly fingerprint: string }[];
}

const condition = (name: string, severity: HostCondition['severity'] = 'warning'): HostCondition => ({
  name,
  subject: '',
  severity,
  since: epoch,
  reason: 'because',
  advice: '',
});

/** As the webhook gives it to an alert. */
const fingerprint = (alert: AlertRecord): string | undefined =>
  (JSON.parse(sink.format(alert, { told: null, at: 0 })) as Message).alerts[0]?.fingerprint;

/** The rules, a clock, the fleet, and a receiver of the webhook. */
class World {
  now = epoch;
  readonly hosts = new Map<string, HostRecord>();
  readonly messages: Message[] = [];
  readonly sentAt: number[] = [];
  /** Of the largest message. */
  bytesMax = 0;
  /** What is stored of alerts. */
  readonly stored = new Map<string, AlertRecord>();
  /** What the receiver takes for so, by fingerprint: the severity that fires. */
  readonly known = new Map<string, string | undefined>();
  #state: AlertsState = { tracks: new Map(), falls: new Map(), firing: new Map(), ended: new Map() };

  constructor(count: number, conditions: readonly HostCondition[] = []) {
    for (let i = 0; i < count; i += 1) this.put(`h${String(i).padStart(3, '0')}`, { conditions });
  }
  put(name: string, more: Partial<HostRecord>): void {
    this.hosts.set(name, hostRecord(name, { ...this.hosts.get(name), ...more }));
  }
  all(more: Partial<HostRecord>): void {
    for (const name of this.hosts.keys()) this.put(name, more);
  }
  step(): void {
    const { state, changes, notices } = evaluate(this.#state, { hosts: this.hosts, restarts: [], falls: [], now: this.now }, config);
    this.#state = state;
    for (const { alert } of changes) this.stored.set(alert.id, alert);
    for (const notice of notices) this.#receive(notice);
  }
  pass(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now = Math.min(end, this.now + second);
      this.step();
    }
  }
  /** The collector forgets what is not stored. */
  restart(): void {
    this.#state = restore([...this.stored.values()], [], [], config.repeatedRestarts);
  }
  get storedFiring(): readonly string[] {
    return [...this.stored.values()]
      .filter(({ state }) => state === 'firing')
      .map(({ id }) => id)
      .toSorted();
  }
  get firing(): readonly AlertRecord[] {
    return [...this.#state.firing.values()];
  }
  #receive(notice: Notice): void {
    for (const body of sink.formatGroup?.(notice) ?? []) this.#take(body);
  }
  #take(body: string): void {
    this.bytesMax = Math.max(this.bytesMax, Buffer.byteLength(body));
    const message = JSON.parse(body) as Message;
    this.messages.push(message);
    this.sentAt.push(this.now);
    for (const { status, labels, fingerprint } of message.alerts) {
      if (status === 'firing') this.known.set(fingerprint, labels['severity']);
      else this.known.delete(fingerprint);
    }
  }
}

describe('a cause that is everywhere', () => {
  test.each([
    [
      'agents that are refused',
      { conditions: [condition('agent-refused')] },
      'agent-refused on 40 hosts: h000, h001, h002, h003, h004 and 35 more',
    ],
    ['agents that were stopped', { state: 'stopped', stateSince: epoch - 60 * minute }, 'HostStopped on 40 hosts: h000, h001, h002'],
    ['hosts that never came', { state: 'expected', expectedBy: epoch - 1 }, 'HostMissing on 40 hosts: h000, h001, h002'],
    [
      'an image that is nowhere',
      { workloads: [workloadStatus('w', { phase: 'held', phaseSince: epoch })] },
      'WorkloadHeld of w on 40 hosts: h000, h001, h002',
    ],
  ] as const)('%s: one message with the number and the first of them, and one when all is over', (_, more, summary) => {
    const world = new World(40);
    world.step();
    world.all(more);
    world.pass(waitMs + second);
    expect(world.messages).toHaveLength(1);
    expect(world.messages[0]?.alerts).toHaveLength(40);
    expect(world.messages[0]).toMatchObject({
      status: 'firing',
      truncatedAlerts: 0,
      commonAnnotations: { summary: expect.stringContaining(summary) as string },
    });
    world.pass(6 * minute);
    expect(world.messages).toHaveLength(1);
    world.all({ conditions: [], state: 'connected', expectedBy: null, workloads: [] });
    world.pass(2 * second);
    expect(world.messages).toHaveLength(2);
    expect(world.messages[1]).toMatchObject({ status: 'resolved', groupKey: world.messages[0]?.groupKey });
    expect(world.messages[1]?.alerts).toHaveLength(40);
    expect(world.known.size).toBe(0);
  });

  test('what comes later is told at most every five minutes, with all that fires', () => {
    const world = new World(60);
    const names = [...world.hosts.keys()];
    for (const name of names) {
      world.put(name, { conditions: [condition('agent-refused')] });
      world.pass(15 * second);
    }
    world.pass(intervalMs);
    const gaps = world.sentAt.slice(1).map((at, index) => at - (world.sentAt[index] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(intervalMs);
    expect(world.messages.map(({ alerts }) => alerts.length)).toEqual([3, 23, 43, 60]);
    // They come back as slowly.
    for (const name of names) {
      world.put(name, { conditions: [] });
      world.pass(15 * second);
    }
    expect(world.messages.length).toBeLessThanOrEqual(9);
    expect(world.messages.at(-1)?.status).toBe('resolved');
    expect(world.known.size).toBe(0);
  });

  test.each([
    ['by number', 'because', 2],
    ['by size', 'because of '.repeat(80), 7],
    // In bytes, not in characters.
    ['by size of what is no ASCII', 'weil es so ist, wie es ist: \u{1f525}'.repeat(40), 9],
  ])('more than a message holds are several of the same group, and each alert is in one of them: %s', (_, reason, parts) => {
    const world = new World(700, [{ ...condition('agent-refused'), reason }]);
    const take = (): Message[] => world.messages.splice(0);
    const told = (messages: readonly Message[]): string[] => messages.flatMap(({ alerts }) => alerts.map((one) => one.fingerprint));
    world.pass(waitMs + second);
    const firing = take();
    expect([firing.length, Math.max(...firing.map(({ alerts }) => alerts.length)) <= 500]).toEqual([parts, true]);
    expect([told(firing).length, new Set(told(firing)).size]).toEqual([700, 700]);
    expect(new Set(firing.map(({ groupKey, status, truncatedAlerts }) => `${groupKey} ${status} ${truncatedAlerts}`)).size).toBe(1);
    for (const one of firing)
      expect(one).toMatchObject({
        status: 'firing',
        truncatedAlerts: 0,
        commonAnnotations: { summary: expect.stringContaining('on 700 hosts') as string },
      });
    // Ends of some: they are behind all that fires.
    for (let i = 0; i < 50; i += 1) world.put(`h${String(i).padStart(3, '0')}`, { conditions: [] });
    world.pass(intervalMs + second);
    const some = take();
    expect(new Set(some.map(({ status }) => status))).toEqual(new Set(['firing']));
    expect(some.flatMap(({ alerts }) => alerts).filter(({ status }) => status === 'resolved')).toHaveLength(50);
    expect([told(some).length, world.known.size]).toEqual([700, 650]);
    expect(world.bytesMax).toBeLessThanOrEqual(250_000);
  });
});

describe('one host', () => {
  test('of many is told as ever, half a minute later; what was over by then is not', () => {
    const world = new World(3);
    world.put('h000', { conditions: [condition('agent-refused')] });
    world.step();
    world.pass(waitMs - second);
    expect(world.messages).toEqual([]);
    world.pass(second);
    expect(world.messages).toMatchObject([
      {
        groupKey: '{}:{alertname="HostCondition", subject="agent-refused"}',
        commonLabels: { alertname: 'HostCondition', host: 'h000', subject: 'agent-refused', severity: 'warning' },
        commonAnnotations: {
          summary: 'h000: agent-refused: because',
          description: expect.stringContaining('HostCondition firing') as string,
        },
        alerts: [{ status: 'firing' }],
      },
    ]);
    world.put('h001', { conditions: [condition('clock-skew')] });
    world.pass(10 * second);
    world.put('h001', { conditions: [] });
    world.pass(10 * minute);
    expect(world.messages).toHaveLength(1);
    world.put('h000', { conditions: [] });
    world.pass(second);
    expect(world.messages.slice(1)).toMatchObject([{ status: 'resolved', alerts: [{ status: 'resolved' }] }]);
  });

  test('that is the whole fleet waits for nobody', () => {
    const world = new World(1, [condition('agent-refused')]);
    world.step();
    expect(world.messages).toHaveLength(1);
    world.put('h000', { conditions: [] });
    world.step();
    expect(world.messages.map(({ status }) => status)).toEqual(['firing', 'resolved']);
  });

  test('in a critical state is told at once, the next ones half a minute later', () => {
    const world = new World(9);
    world.put('h000', { conditions: [condition('disk-full', 'critical')] });
    world.step();
    expect(world.messages).toHaveLength(1);
    world.all({ conditions: [condition('disk-full', 'critical')] });
    world.pass(waitMs);
    expect(world.messages.map(({ alerts }) => alerts.length)).toEqual([1, 9]);
    // It gets worse in a group that was told already.
    const other = new World(9, [condition('inodes-low')]);
    other.pass(waitMs + second);
    other.pass(waitMs);
    other.put('h003', { conditions: [condition('inodes-low', 'critical')] });
    other.pass(second);
    expect(other.messages).toHaveLength(2);
  });
});

test('another cause is another message; a host that is dead is told by itself', () => {
  const world = new World(10);
  world.put('h000', { conditions: [condition('agent-refused')] });
  world.put('h001', { conditions: [condition('clock-skew')] });
  world.put('h002', { state: 'dead', stateSince: world.now });
  world.pass(waitMs + second);
  expect(new Set(world.messages.map(({ groupLabels }) => groupLabels['subject']))).toEqual(new Set(['agent-refused', 'clock-skew']));
  expect(world.messages).toHaveLength(2);
});

describe('one that is back as the very same before its end was told', () => {
  function blinking(): World {
    const world = new World(3);
    for (const name of ['h000', 'h001']) world.put(name, { conditions: [condition('maintenance')] });
    world.pass(waitMs + second);
    world.put('h000', { conditions: [] });
    world.pass(2 * second);
    return world;
  }
  const known = (world: World): readonly (string | undefined)[] => [...world.known.values()];

  test('fires in the store, too, and nobody is told anything', () => {
    const world = blinking();
    world.put('h000', { conditions: [condition('maintenance')] });
    world.pass(10 * minute);
    expect(world.storedFiring).toEqual(['HostCondition:h000:maintenance:' + epoch, 'HostCondition:h001:maintenance:' + epoch]);
    expect(world.messages).toHaveLength(1);
    world.restart();
    world.pass(second);
    expect([world.firing.length, world.messages.length, known(world)]).toEqual([2, 1, ['warning', 'warning']]);
  });

  test('while its host is dead: it fires as it was told, its later end is told, also by a collector that was restarted', () => {
    const world = blinking();
    world.put('h000', { conditions: [condition('maintenance')], state: 'dead', stateSince: world.now });
    world.pass(10 * minute);
    expect(world.storedFiring).toContain('HostCondition:h000:maintenance:' + epoch);
    world.restart();
    world.put('h000', { conditions: [], state: 'connected' });
    world.pass(10 * minute);
    expect(known(world)).toEqual(['warning']);
    expect(world.storedFiring).toEqual(['HostCondition:h001:maintenance:' + epoch]);
  });
});

test('whatever comes and goes, over restarts of the collector, its receiver knows in the end what is so, and is not flooded', () => {
  const severities = ['info', 'warning', 'error'] as const;
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ host: fc.nat(5), is: fc.constantFrom(...severities) }) },
    // Gone, and back with the same `since` when it comes again.
    { weight: 4, arbitrary: fc.record({ over: fc.nat(5) }) },
    { weight: 2, arbitrary: fc.record({ dead: fc.nat(5), is: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constant('restart' as const) },
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 400 }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const world = new World(6);
      for (const one of steps) {
        if (one === 'restart') world.restart();
        else if (typeof one === 'number') world.pass(one * second);
        else if ('over' in one) world.put(`h00${one.over}`, { conditions: [] });
        else if ('host' in one) world.put(`h00${one.host}`, { conditions: [condition('agent-refused', one.is)] });
        else world.put(`h00${one.dead}`, { state: one.is ? 'dead' : 'connected', stateSince: world.now });
        world.step();
        expect(world.storedFiring).toEqual(world.firing.map(({ id }) => id).toSorted());
      }
      world.all({ state: 'connected' });
      world.pass(intervalMs + waitMs + 2 * second);
      expect(new Map(world.known)).toEqual(new Map(world.firing.map((alert) => [fingerprint(alert), alert.severity])));
      for (const { alerts } of world.messages)
        expect([alerts.length, alerts.length > 0]).toEqual([new Set(alerts.map((one) => one.fingerprint)).size, true]);
      const before = world.messages.length;
      world.restart();
      world.pass(2 * intervalMs);
      expect(world.messages).toHaveLength(before);
      // But for those that say that all is over, and the first ones after that.
      const updates = world.sentAt.filter(
        (_, index) => index > 0 && world.messages[index - 1]?.status === 'firing' && world.messages[index]?.status === 'firing',
      );
      for (const at of updates) expect(at - (world.sentAt[world.sentAt.indexOf(at) - 1] ?? 0)).toBeGreaterThanOrEqual(intervalMs);
    }),
    { numRuns: 40 },
  );
});
