/**
 * An epoch is begun, written, left and sent in many steps. Each of them may be the last one of this life, or fail, or fail and another one
 * be the last: no event comes twice by that, and none is lost that the disk had.
 */
import { describe, expect, test } from 'vitest';
import type { DiskFault } from '../../../../test/support/faulty-disk.ts';
import { outboxEvent, OutboxWorld } from '../../../../test/support/outbox-world.ts';
import { encodeFile } from './lines.ts';

/** Brings an outbox to where its next life, or its next retry, has much to write. */
interface Scenario {
  readonly name: string;
  readonly prepare: (world: OutboxWorld) => void;
  readonly act: (world: OutboxWorld) => void;
  /** How many events only memory holds when it begins, which a killed process takes along. */
  readonly inMemory?: number;
}

/** Three files, of which the collector has the first part, and the outbox knows. */
function filled(world: OutboxWorld): void {
  for (let count = 0; count < 7; count += 1) world.append();
  world.settle();
  world.deliver(true);
  world.settle();
}

/** As an earlier version left it when it was killed in the middle of a new epoch: the second file holds all of the first, numbered anew. */
function ofEarlierVersion(world: OutboxWorld): void {
  const events = Array.from({ length: 4 }, (_, index) => ({ ...outboxEvent(`event ${index}`), seq: index + 1 }));
  world.appended.push(...events.map(({ message }) => message));
  world.disk.files.clear();
  world.disk.replace('0000000001.ndjson', encodeFile({ epoch: 'earlier-1', firstSeq: 1 }, events));
  world.disk.replace('0000000002.ndjson', encodeFile({ epoch: 'earlier-2', firstSeq: 1, begins: true }, events));
}

const scenarios: readonly Scenario[] = [
  { name: 'the first start', prepare: (world) => world.disk.files.clear(), act: (world) => world.reopen() },
  { name: 'a start after a life that has left much', prepare: filled, act: (world) => world.reopen() },
  {
    name: 'a start whose predecessor does not know what the collector has',
    prepare: (world) => {
      filled(world);
      world.deliver(false);
      world.deliver(false);
    },
    act: (world) => world.reopen(),
  },
  {
    name: 'a start after several lives, and a file of which a line is damaged',
    prepare: (world) => {
      filled(world);
      world.reopen();
      filled(world);
      const { files } = world.disk;
      const name = [...files.keys()].findLast((one) => one.endsWith('.events')) ?? '';
      const data = Buffer.from(files.get(name)?.data ?? []);
      world.disk.replace(name, Buffer.concat([data, Buffer.from('00000000 {}\n')]));
    },
    act: (world) => world.reopen(),
  },
  { name: 'a start after an earlier version', prepare: ofEarlierVersion, act: (world) => world.reopen() },
  {
    name: 'files that fill up',
    prepare: (world) => {
      world.append();
      world.settle();
    },
    act: (world) => {
      for (let count = 0; count < 4; count += 1) {
        world.append();
        world.disk.completeSyncs();
      }
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
  {
    name: 'a disk was full for a while, and what it has taken before is sent, but not all is acknowledged',
    prepare: (world) => {
      filled(world);
      world.disk.full = true;
      for (let count = 0; count < 3; count += 1) world.append();
      world.deliver(true);
      world.deliver(false);
      world.disk.full = false;
    },
    act: (world) => world.settle(),
    inMemory: 3,
  },
  {
    name: 'what earlier lives have left can be read again',
    prepare: (world) => {
      filled(world);
      world.disk.unreadable = true;
      world.reopen();
      for (let count = 0; count < 3; count += 1) world.append();
      world.settle();
      world.deliver(true);
      world.disk.unreadable = false;
    },
    act: (world) => world.settle(),
  },
];

type Power = 'kept' | 'lost' | 'lost, and names that were not synced';
const powers: readonly Power[] = ['kept', 'lost', 'lost, and names that were not synced'];

interface Meanwhile {
  /** The agent goes on for a while, connected. */
  readonly meanwhile?: boolean;
  /** What the collector says then arrives. */
  readonly answered?: boolean;
  readonly power?: Power;
}

/** Plays a scenario with faults, ends the process, and starts it again on a sound disk. */
function play({ prepare, act }: Scenario, fault: DiskFault | null, how: Meanwhile = {}): OutboxWorld {
  const { meanwhile = false, answered = true, power = 'kept' } = how;
  const world = new OutboxWorld();
  prepare(world);
  world.disk.arm(fault);
  act(world);
  if (meanwhile) goOn(world, answered);
  world.disk.arm(null);
  if (power !== 'kept') world.disk.losePower(0, false, power === 'lost' ? 'last' : 'synced');
  world.reopen();
  world.deliverAll();
  world.append();
  world.reopen();
  world.deliverAll();
  return world;
}

function goOn(world: OutboxWorld, answered: boolean): void {
  world.append();
  for (let round = 0; round < 3; round += 1) {
    world.settle();
    world.deliver(answered);
  }
  world.settle();
}

function stepsOf(scenario: Scenario, meanwhile: boolean): readonly string[] {
  const world = new OutboxWorld();
  scenario.prepare(world);
  world.disk.arm(null);
  scenario.act(world);
  if (meanwhile) goOn(world, true);
  return [...world.disk.steps];
}

describe.each(scenarios)('$name', (scenario) => {
  const { inMemory = 0 } = scenario;
  const stood = standing(scenario);
  /** Of what was durable. */
  const lost = (world: OutboxWorld): string[] => missing(world).filter((message) => stood.has(message));

  test.each(powers)('killed at any step, power %s: every event once', (power) => {
    const steps = stepsOf(scenario, false);
    expect(steps.length).toBeGreaterThan(4);
    for (const [step, what] of steps.entries()) {
      const world = play(scenario, { step, kind: 'die' }, { power });
      expect(doubled(world), `${step}: ${what}`).toEqual([]);
      expect(lost(world), `${step}: ${what}`).toEqual([]);
      // What this scenario itself has appended may not be durable yet.
      expect(missing(world).length, `${step}: ${what}`).toBeLessThanOrEqual(power === 'kept' ? inMemory : Infinity);
    }
  });

  test.each(['fail-once', 'fail-on', 'no-fsync'] as const)(
    'any step fails (%s), and the agent is started again: every event once',
    (kind) => {
      for (const [step, what] of stepsOf(scenario, false).entries()) {
        const world = play(scenario, { step, kind });
        expect(doubled(world), `${step}: ${what}`).toEqual([]);
        expect(lost(world), `${step}: ${what}`).toEqual([]);
      }
    },
  );

  test.each([true, false])('any step fails once, and the agent goes on (answered: %s): every event once', (answered) => {
    for (const [step, what] of stepsOf(scenario, true).entries()) {
      const world = play(scenario, { step, kind: 'fail-once' }, { meanwhile: true, answered });
      expect(missing(world), `${step}: ${what}`).toEqual([]);
      expect(doubled(world), `${step}: ${what}`).toEqual([]);
    }
  });

  // The disk refuses one call, or from there on all, or all fsyncs, while the agent goes on, until it is killed at any later one.
  test.each(['fail-once', 'fail-on', 'no-fsync'] as const)(
    'any step fails (%s), and the agent is killed at any later one: no event twice, and none is lost that was on the disk',
    (kind) => {
      const steps = stepsOf(scenario, true).length;
      const wrong: string[] = [];
      for (let step = 0; step < steps; step += 1)
        for (let dieAt = step + 1; dieAt <= steps; dieAt += 1) {
          const how = { meanwhile: true, answered: (step + dieAt) % 2 === 0, power: powers[dieAt % 3] ?? 'kept' };
          const world = play(scenario, { step, kind, dieAt }, how);
          for (const message of doubled(world)) wrong.push(`${step}, killed at ${dieAt}, power ${how.power}: ${message} twice`);
          for (const message of lost(world)) wrong.push(`${step}, killed at ${dieAt}, power ${how.power}: ${message} lost`);
        }
      expect(wrong).toEqual([]);
    },
  );
});

describe('the collector has numbers that this life has never given', () => {
  const scenario: Scenario = {
    name: '',
    prepare: filled,
    act: (world) => {
      world.setBack(100);
      world.settle();
    },
  };

  test('and any step of the new epoch fails once: every event once', () => {
    for (const [step, what] of stepsOf(scenario, true).entries()) {
      const world = play(scenario, { step, kind: 'fail-once' }, { meanwhile: true });
      expect(missing(world), `${step}: ${what}`).toEqual([]);
      expect(doubled(world), `${step}: ${what}`).toEqual([]);
    }
  });

  test('and the agent is killed at any step: what it had not numbered anew passes for what the collector has, and none comes twice', () => {
    const steps = stepsOf(scenario, true);
    for (const [step, what] of steps.entries()) {
      const world = play(scenario, { step, kind: 'die' }, { meanwhile: true });
      expect(doubled(world), `${step}: ${what}`).toEqual([]);
      const last = steps.lastIndexOf('fsync directory');
      expect(step > last ? missing(world) : [], `${step}: ${what}`).toEqual([]);
    }
  });
});

/** What is on the disk before it begins, durable. */
function standing({ prepare }: Scenario): ReadonlySet<string> {
  const world = new OutboxWorld();
  prepare(world);
  const text = [...world.disk.files.values()].map(({ data, synced }) => data.subarray(0, synced).toString()).join('');
  return new Set(world.appended.filter((message) => text.includes(`"${message}"`)));
}

const missing = ({ appended, messages }: OutboxWorld): string[] => {
  const arrived = new Set(messages);
  return appended.filter((message) => !arrived.has(message));
};

const doubled = ({ messages }: OutboxWorld): string[] => messages.filter((message, index) => messages.indexOf(message) !== index);
