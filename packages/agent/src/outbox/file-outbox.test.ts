import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ManualClock } from '@relight/shared/manual-clock';
import { outboxEvent as event, OutboxWorld as World, silentLogger as logger } from '../../../../test/support/outbox-world.ts';
import { FileOutbox } from './file-outbox.ts';

const isOrdered = (messages: readonly string[]): boolean =>
  messages.every((message, index) => index === 0 || Number(messages[index - 1]?.slice(6)) < Number(message.slice(6)));

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('deliver' as const), acknowledged: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kill' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('tear' as const), bytes: fc.nat(120) }) },
);

function play(world: World, action: typeof step extends fc.Arbitrary<infer T> ? T : never): void {
  if (action.do === 'append') world.append();
  else if (action.do === 'deliver') world.deliver(action.acknowledged);
  else if (action.do === 'settle') world.settle();
  else if (action.do === 'kill') world.reopen();
  else {
    world.disk.killAfterBytes = action.bytes;
    world.append();
    world.disk.killAfterBytes = null;
  }
}

describe('model', () => {
  test('killed at any moment, also in the middle of a write: every event once and in order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const world = new World();
        for (const action of steps) play(world, action);
        world.deliverAll();
        expect(world.messages).toEqual(world.appended);
      }),
      { numRuns: 300 },
    );
  });

  test('power loss: no number has two meanings, and what was readable arrives in order', () => {
    const power = fc.record({ do: fc.constant('power' as const), keep: fc.double({ min: 0, max: 1, noNaN: true }), zeros: fc.boolean() });
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 8, arbitrary: step }, { weight: 1, arbitrary: power }), { maxLength: 60 }), (steps) => {
        const world = new World();
        for (const action of steps) {
          if (action.do !== 'power') {
            play(world, action);
            continue;
          }
          world.disk.losePower(action.keep, action.zeros);
          world.reopen();
        }
        world.deliverAll();
        const arrived = new Set(world.messages);
        for (const message of world.promised) expect(arrived).toContain(message);
        expect(isOrdered([...arrived])).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('full disk, disk that refuses every change, full queue: everything arrives or is counted, and nothing throws', () => {
    const disk = fc.record({ full: fc.boolean(), readOnly: fc.boolean(), aborted: fc.boolean() });
    const fill = fc.record({ do: fc.constant('fill' as const), disk });
    const gentle = step.filter((action) => action.do !== 'tear' && action.do !== 'kill');
    const story = fc.array(fc.oneof({ weight: 8, arbitrary: gentle }, { weight: 1, arbitrary: fill }), { maxLength: 120 });
    fc.assert(
      fc.property(story, fc.boolean(), (steps, online) => {
        const world = Object.assign(new World({ memoryBytesMax: 500, bytesMax: 2_000 }), { online });
        for (const action of steps) {
          if (action.do === 'fill') Object.assign(world.disk, action.disk);
          else play(world, action);
        }
        world.deliverAll();
        const arrived = world.messages;
        expect(isOrdered(arrived)).toBe(true);
        expect(arrived.length + world.lost).toBeGreaterThanOrEqual(world.appended.length);
        expect(world.lost > 0 ? world.appended : arrived).toEqual(world.appended);
      }),
      { numRuns: 300 },
    );
  });
});

test('an event can be read only when it is durable', () => {
  const world = new World();
  world.append();
  expect(world.outbox.read(0, 10)).toEqual([]);
  let calls = 0;
  world.outbox.onAppend(() => void (calls += 1));
  world.disk.completeSyncs();
  expect(calls).toBe(1);
  expect(world.outbox.read(0, 10)).toHaveLength(1);
});

test('a full queue drops info first and counts it; warnings survive', () => {
  const world = new World({ bytesMax: 4_000 });
  for (let index = 0; index < 100; index += 1) world.append(index % 10 === 0 ? 'error' : 'info');
  world.deliverAll();
  const arrived = world.messages;
  expect(world.lost).toBeGreaterThan(0);
  expect(arrived.length + world.lost).toBe(100);
  for (let index = 0; index < 100; index += 10) expect(arrived).toContain(`event ${index}`);
});

describe('a disk that refuses every change', () => {
  test.each([true, false])('holds nothing up: in a new epoch, after what stands on it (acknowledged before: %s)', (acknowledged) => {
    const world = new World();
    world.append();
    world.settle();
    if (acknowledged) world.deliver(true);
    world.disk.readOnly = true;
    world.append();
    world.append();
    world.settle();
    while (world.deliver(true)) world.settle();
    expect(world.messages).toEqual(['event 0', 'event 1', 'event 2']);
    expect(world.outbox.epoch).toBe('epoch-2');

    // It is repaired, and the agent started again: what stands on the disk is known as delivered.
    world.disk.readOnly = false;
    world.reopen();
    world.append();
    world.deliverAll();
    expect(world.messages).toEqual(['event 0', 'event 1', 'event 2', 'event 3']);
  });

  test('and takes them again under a running agent', () => {
    const world = new World();
    world.disk.readOnly = true;
    world.append();
    world.settle();
    while (world.deliver(true)) world.settle();
    world.append();
    world.disk.readOnly = false;
    world.settle();
    world.reopen();
    world.append();
    world.deliverAll();
    expect(world.messages).toEqual(['event 0', 'event 1', 'event 2']);
  });
});

test.each(['full', 'unreadable'] as const)(
  'an epoch that lived in memory (disk %s at the start) gives no number twice, also when the agent is killed right after it was written',
  (fault) => {
    const world = new World();
    world.disk.files.clear();
    if (fault === 'unreadable') world.disk.replace('0000000001.events', Buffer.from('what cannot be read'));
    world.disk[fault] = true;
    world.reopen();
    for (let count = 0; count < 3; count += 1) world.append();
    while (world.deliver(true)) world.settle();
    world.disk[fault] = false;
    world.settle();
    world.reopen();
    world.append();
    world.append();
    world.deliverAll();
    expect(world.messages).toEqual(world.appended);
  },
);

test('a damaged line in the middle costs that event, and is counted, once', () => {
  const world = new World();
  for (let index = 0; index < 5; index += 1) world.append();
  world.settle();
  const [name] = world.disk.list();
  const file = world.disk.files.get(name ?? '');
  const at = file?.data.indexOf('event 2') ?? 0;
  file?.data.write('EVENT', at);
  world.reopen();
  world.reopen();
  world.deliverAll();
  expect(world.messages).toEqual(['event 0', 'event 1', 'event 3', 'event 4']);
  expect(world.lost).toBe(1);
});

test('what is damaged after it was found holds nothing up', () => {
  const world = new World();
  for (let index = 0; index < 2; index += 1) world.append();
  world.settle();
  world.reopen();
  world.append();
  const file = world.disk.files.get('0000000001.events');
  file?.data.write('EVENT', file.data.indexOf('event 1'));
  world.deliverAll();
  expect(world.messages).toEqual(['event 0', 'event 2']);
  expect(world.outbox.pending).toBe(0);
});

test('a collector that knows more of this epoch than we do leads to a new epoch, and nothing is taken for a duplicate', () => {
  const world = new World();
  world.append();
  world.settle();
  world.setBack(7);
  expect(world.outbox.epoch).toBe('epoch-2');
  world.deliverAll();
  expect(world.messages).toEqual(['event 0']);
});

test('whatever is in the data, append does not throw and the event arrives', () => {
  const world = new World();
  world.outbox.append({ ...event('bigint'), data: { size: 1n } });
  world.outbox.append({ ...event('x'.repeat(10_000)), at: 1.5, data: { large: 'y'.repeat(100_000) } });
  world.reopen();
  world.deliverAll();
  expect(world.messages.map((message) => message.length)).toEqual([6, 4096]);
});

describe('on a real directory', () => {
  const directories: string[] = [];
  const directory = (): string => {
    const made = mkdtempSync(join(tmpdir(), 'relight-outbox-'));
    directories.push(made);
    return made;
  };
  afterEach(() => {
    for (const made of directories.splice(0)) rmSync(made, { recursive: true });
  });

  test('where it cannot be made, events wait in memory; once it can, they are kept', () => {
    const path = join(directory(), 'outbox');
    writeFileSync(path, 'in the way');
    const clock = new ManualClock();
    const errors: unknown[] = [];
    const telling = { ...logger, error: (...said: readonly unknown[]) => void errors.push(said) };
    const open = (): FileOutbox => FileOutbox.open({ directory: path, newEpoch: randomUUID, clock, logger: telling });
    const before = open();
    before.append(event('event 0'));
    expect(before.read(0, 10)).toHaveLength(1);
    expect(errors).toEqual([
      [
        { error: expect.stringMatching(/EEXIST|ENOTDIR/) as string, directory: path, advice: expect.stringContaining(path) as string },
        'event outbox: events cannot be read; new ones are kept, and sent, meanwhile',
      ],
    ]);
    rmSync(path);
    clock.advance(1_000);
    before.close();
    const after = open();
    expect(after.read(0, 10).map(({ message }) => message)).toEqual(['event 0']);
    after.close();
  });

  test('is passed over by an earlier version, which would take its newest file for all that there is', () => {
    const path = directory();
    const outbox = FileOutbox.open({ directory: path, newEpoch: randomUUID, clock: new ManualClock(), logger });
    outbox.append(event('event 0'));
    outbox.close();
    expect(readdirSync(path).filter((name) => /^\d{10}\.ndjson$/.test(name))).toEqual([]);
  });

  test('survives close and open, and removes what is acknowledged', () => {
    const path = directory();
    const clock = new ManualClock();
    let lives = 0;
    const newEpoch = (): string => `life ${(lives += 1)}`;
    const open = (): FileOutbox => FileOutbox.open({ directory: path, newEpoch, clock, logger, fileBytesMax: 1_000 });
    const before = open();
    for (let index = 0; index < 100; index += 1) before.append(event(`event ${index}`));
    before.close();
    const files = readdirSync(path).length;
    const after = open();
    expect(after.pending).toBe(100);
    expect(after.sending).toEqual({ epoch: 'life 1', seq: 0 });
    expect(after.read(0, 1_000)[0]?.message).toBe('event 0');
    after.acknowledge({ epoch: 'life 1', seq: 99 });
    expect(readdirSync(path).length).toBeLessThan(files);
    after.close();
    const again = open();
    expect(again.sending).toEqual({ epoch: 'life 1', seq: 99 });
    expect(again.read(0, 10).map((item) => item.message)).toEqual(['event 99']);
    again.acknowledge({ epoch: 'life 1', seq: 100 });
    expect([again.sending, again.pending]).toEqual([{ epoch: 'life 3', seq: 0 }, 0]);
    again.close();
  });
});

test('what earlier lives have left behind a position: all of it, or nothing that could be taken for all', () => {
  const world = new World();
  const texts = (epoch: string, seq: number) => world.outbox.since({ epoch, seq })?.map(({ message }) => message);
  for (let count = 0; count < 40; count += 1) world.append();
  // Of this life, nobody needs to be told.
  expect(texts('epoch-1', 38)).toBeUndefined();
  world.settle();
  world.reopen();
  world.append();
  expect(world.outbox.position).toEqual({ epoch: 'epoch-2', seq: 1 });
  expect(texts('epoch-1', 38)).toEqual(['event 38', 'event 39']);
  expect(texts('epoch-1', 40)).toEqual([]);
  // After a power loss a state may be newer than the outbox.
  expect(texts('epoch-1', 42)).toEqual([]);
  expect(texts('another', 8)).toBeUndefined();
  // The newest files stay, although all in them is acknowledged; also for a life after one that was killed before it had looked.
  world.outbox.acknowledge({ epoch: 'epoch-1', seq: 40 });
  world.settle();
  expect(texts('epoch-1', 38)).toEqual(['event 38', 'event 39']);
  expect(texts('epoch-1', 1)).toBeUndefined();
  world.reopen();
  expect(texts('epoch-1', 38)).toEqual(['event 38', 'event 39', 'event 40']);
  expect(texts('epoch-2', 0)).toEqual(['event 40']);
  // What the collector has and no file tells nobody who reads the files can know of.
  world.disk.full = true;
  world.append();
  while (world.deliver(true)) world.settle();
  world.disk.full = false;
  world.reopen();
  expect(texts('epoch-2', 0)).toBeUndefined();
});

test('what a killed life has written and the next one has sent is known to the one after that, also when the power was lost meanwhile', () => {
  const world = new World();
  world.append();
  world.reopen();
  while (world.deliver(true));
  expect(world.messages).toEqual(['event 0']);
  world.disk.losePower(0, false);
  world.reopen();
  expect(world.outbox.since({ epoch: 'epoch-1', seq: 0 })).toMatchObject([{ message: 'event 0' }]);
});

test('a disk that cannot be read holds events up and ends nobody; in order they come when it can', () => {
  const world = new World();
  for (let index = 0; index < 40; index += 1) world.append();
  world.settle();
  world.reopen();
  world.disk.unreadable = true;
  expect(world.outbox.read(0, 3)).toEqual([]);
  expect(world.outbox.backlog()).toMatchObject({ oldestAt: null });
  world.append();
  expect(world.deliver(true)).toBe(false);
  world.disk.unreadable = false;
  expect(world.outbox.backlog()).toMatchObject({ oldestAt: 1 });
  world.deliverAll();
  expect(world.messages).toEqual(world.appended);
});

describe('what stands on the disk cannot be read', () => {
  /** Several files, of which only the last one is in memory. */
  const filled = (): World => {
    const world = new World();
    for (let index = 0; index < 20; index += 1) world.append();
    world.settle();
    return world;
  };

  test('and has to be numbered anew: it ends nobody, nothing leaves under numbers that mean something else, and all come when it can', () => {
    const world = filled();
    world.disk.unreadable = true;
    world.setBack(100);
    for (let index = 0; index < 100; index += 1) world.append();
    world.settle();
    while (world.deliver(true)) world.settle();
    expect(world.messages).toEqual(world.appended.slice(20));
    world.disk.unreadable = false;
    world.clock.advance(300_000);
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
  });

  test('when the agent starts: what happens now is kept and sent, what was left behind comes when it can', () => {
    const world = filled();
    world.deliver(true);
    world.settle();
    world.disk.unreadable = true;
    world.reopen();
    world.append();
    world.append('error');
    world.settle();
    expect(world.deliver(true)).toBe(true);
    expect(world.messages.slice(-2)).toEqual(['event 20', 'event 21']);
    world.settle();
    // Nor does a second start lose any of it.
    world.reopen();
    world.append();
    world.settle();
    world.disk.unreadable = false;
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
    world.append();
    world.reopen();
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
  });
});

test('its backlog: what it takes of its room, since when the oldest waits, and what had to go', () => {
  const world = new World({ bytesMax: 4_000 });
  expect(world.outbox.backlog()).toEqual({ bytes: expect.any(Number) as number, bytesMax: 4_000, oldestAt: null, dropped: 0 });
  world.outbox.append({ ...event('first'), at: 17 });
  world.outbox.append({ ...event('second'), at: 18 });
  world.settle();
  const { bytes, ...more } = world.outbox.backlog();
  expect(bytes).toBeGreaterThan(100);
  expect(more).toEqual({ bytesMax: 4_000, oldestAt: 17, dropped: 0 });
  world.outbox.acknowledge({ ...world.outbox.sending, seq: 1 });
  expect(world.outbox.backlog()).toMatchObject({ oldestAt: 18 });
  for (let index = 0; index < 100; index += 1) world.append();
  const full = world.outbox.backlog();
  world.deliverAll();
  expect(full.dropped).toBe(world.lost);
  expect(full.dropped).toBeGreaterThan(0);
  expect(world.outbox.backlog().oldestAt).toBeNull();
});
