/** A new epoch is written in many steps. Each of them may be the last one of this life, or fail: no event is lost by that, and none comes twice. */
import { describe, expect, test } from 'vitest';
import type { DiskFault } from '../../../../test/support/faulty-disk.ts';
import { OutboxWorld } from '../../../../test/support/outbox-world.ts';

/** Brings an outbox to where its next life, or its next retry, has to write a new epoch. */
interface Scenario {
  readonly name: string;
  readonly prepare: (world: OutboxWorld) => void;
  /** What writes it. */
  readonly act: (world: OutboxWorld) => void;
  /** How many events only memory holds when it begins, which a killed process takes along. */
  readonly inMemory?: number;
}

/** Three files, of which the collector has the first part, and the outbox knows. */
function filled(world: OutboxWorld): void {
  for (let count = 0; count < 9; count += 1) world.append();
  world.settle();
  world.deliver(true);
  world.settle();
}

const scenarios: readonly Scenario[] = [
  {
    name: 'the first start',
    prepare: (world) => world.disk.files.clear(),
    act: (world) => world.reopen(),
  },
  {
    name: 'a start that cannot go on with the numbers that it finds',
    prepare: (world) => {
      filled(world);
      world.disk.remove('trusted');
    },
    act: (world) => world.reopen(),
  },
  {
    name: 'a start after files of an earlier version',
    prepare: (world) => {
      filled(world);
      world.disk.replace('trusted', Buffer.alloc(0));
      const { files } = world.disk;
      const last = [...files.keys()].findLast((name) => name.endsWith('.ndjson')) ?? '';
      // A line that is whole, but damaged; the first of them is the header.
      const data = Buffer.from(files.get(last)?.data ?? []);
      world.disk.replace(last, Buffer.concat([data, Buffer.from('00000000 {}\n')]));
    },
    act: (world) => world.reopen(),
  },
  {
    name: 'the collector has numbers that were never given',
    prepare: filled,
    act: (world) => {
      world.outbox.acknowledge(100);
      world.settle();
    },
  },
  {
    name: 'an epoch that lived in memory moves to the disk',
    prepare: (world) => {
      world.disk.files.clear();
      world.disk.full = true;
      world.reopen();
      for (let count = 0; count < 3; count += 1) world.append();
      world.deliver(true);
      world.disk.full = false;
    },
    act: (world) => world.settle(),
    inMemory: 1,
  },
  ...[false, true].map((distrusted) => ({
    name: `an epoch that lived in memory takes along what could not be read before (${distrusted ? 'not ' : ''}trusted)`,
    prepare: (world: OutboxWorld) => {
      filled(world);
      if (distrusted) world.disk.remove('trusted');
      world.disk.unreadable = true;
      world.reopen();
      for (let count = 0; count < 3; count += 1) world.append();
      world.deliver(true);
      world.disk.unreadable = false;
    },
    act: (world: OutboxWorld) => world.settle(),
    inMemory: 1,
  })),
  {
    name: 'an epoch in memory is renewed while what could not be read before still stands on the disk',
    prepare: (world) => {
      filled(world);
      world.disk.unreadable = true;
      world.reopen();
      world.append();
      world.deliver(true);
      world.disk.unreadable = false;
    },
    act: (world) => {
      world.outbox.acknowledge(100);
      world.settle();
    },
  },
];

type Power = 'kept' | 'lost' | 'lost, and names that were not synced';

/** Plays a scenario with one fault, ends the process, and starts it again on a sound disk. Returns what the collector has. */
function play({ prepare, act }: Scenario, fault: DiskFault | null, power: Power, meanwhile: boolean): OutboxWorld {
  const world = new OutboxWorld();
  prepare(world);
  world.disk.arm(fault);
  act(world);
  if (meanwhile) {
    world.append();
    world.settle();
    world.deliver(true);
    world.settle();
  }
  world.disk.arm(null);
  if (power !== 'kept') world.disk.losePower(0, false, power === 'lost' ? 'last' : 'synced');
  world.reopen();
  world.deliverAll();
  world.append();
  world.reopen();
  world.deliverAll();
  return world;
}

function stepsOf(scenario: Scenario, meanwhile: boolean): readonly string[] {
  const world = new OutboxWorld();
  scenario.prepare(world);
  world.disk.arm(null);
  scenario.act(world);
  if (meanwhile) world.append();
  if (meanwhile) world.settle();
  return [...world.disk.steps];
}

describe.each(scenarios)('$name', (scenario) => {
  const { inMemory = 0 } = scenario;

  test.each(['kept', 'lost', 'lost, and names that were not synced'] as const)(
    'killed at any step, power %s: every event once',
    (power) => {
      const steps = stepsOf(scenario, false);
      expect(steps.length).toBeGreaterThan(4);
      for (const [step, what] of steps.entries()) {
        const world = play(scenario, { step, kind: 'die' }, power, false);
        expect(missing(world).length, `${step}: ${what}`).toBeLessThanOrEqual(inMemory);
        expect(doubled(world), `${step}: ${what}`).toEqual([]);
      }
    },
  );

  test.each(['fail-once', 'fail-on'] as const)('any step fails (%s), and the agent is started again later: every event once', (kind) => {
    for (const [step, what] of stepsOf(scenario, false).entries()) {
      const world = play(scenario, { step, kind }, 'kept', false);
      expect(missing(world).length, `${step}: ${what}`).toBeLessThanOrEqual(inMemory);
      expect(doubled(world), `${step}: ${what}`).toEqual([]);
    }
  });

  test('any step fails once, and the agent goes on: every event once', () => {
    for (const [step, what] of stepsOf(scenario, true).entries()) {
      const world = play(scenario, { step, kind: 'fail-once' }, 'kept', true);
      expect(missing(world), `${step}: ${what}`).toEqual([]);
      expect(doubled(world), `${step}: ${what}`).toEqual([]);
    }
  });

  test('any step fails and all that follow, and the agent goes on: what was on the disk comes once, what was not at least once', () => {
    for (const [step, what] of stepsOf(scenario, true).entries()) {
      const stood = standing(scenario);
      const world = play(scenario, { step, kind: 'fail-on' }, 'kept', true);
      // The one that was appended meanwhile lives in memory as well.
      expect(missing(world).length, `${step}: ${what}`).toBeLessThanOrEqual(inMemory + 1);
      expect(
        missing(world).filter((message) => stood.has(message)),
        `${step}: ${what}`,
      ).toEqual([]);
      expect(
        doubled(world).filter((message) => stood.has(message)),
        `${step}: ${what}`,
      ).toEqual([]);
    }
  });
});

/** What is on the disk before it begins. */
function standing({ prepare }: Scenario): ReadonlySet<string> {
  const world = new OutboxWorld();
  prepare(world);
  const text = [...world.disk.files.values()].map(({ data }) => data.toString()).join('');
  return new Set(world.appended.filter((message) => text.includes(`"${message}"`)));
}

const missing = ({ appended, messages }: OutboxWorld): string[] => {
  const arrived = new Set(messages);
  return appended.filter((message) => !arrived.has(message));
};

const doubled = ({ messages }: OutboxWorld): string[] => messages.filter((message, index) => messages.indexOf(message) !== index);
