/** A queue that is full while its disk fails: it stays within its room as far as that can be had, and what goes is counted. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { happenings, OutboxWorld as World } from '../../../../test/support/outbox-world.ts';

const bytesMax = 4_000;

/** What is written on is not shed, which may be all that was in memory; nor is the event that tells what was. */
const slack = 2_000;

/** Several full files, and nobody to send them to. */
function filled(bytes = bytesMax): World {
  const world = new World({ bytesMax: bytes, fileBytesMax: 400 });
  for (let index = 0; index < 12; index += 1) world.append();
  world.settle();
  world.disk.arm(null);
  return world;
}

/** One event a second. Returns the most that stood on the disk after any of them. */
function appendFor(world: World, seconds: number): number {
  let most = 0;
  for (let second = 0; second < seconds; second += 1) {
    world.append();
    world.disk.completeSyncs();
    world.clock.advance(1_000);
    most = Math.max(most, sizeOf(world));
  }
  return most;
}

const sizeOf = ({ disk }: World): number => [...disk.files.values()].reduce((sum, { data }) => sum + data.length, 0);

const readsOf = ({ disk }: World, name: string): number => disk.steps.filter((step) => step === `read ${name}`).length;

test('its oldest file cannot be read: others go instead, it is looked at only when room is made, and sent when it can be', () => {
  const world = filled(10 * bytesMax);
  const bad = '0000000001.events';
  world.disk.badFiles.add(bad);
  expect(appendFor(world, 1_000)).toBeLessThanOrEqual(10 * bytesMax + slack);
  // An eighth of its room at a time: more than twenty events.
  expect(readsOf(world, bad)).toBeLessThan(1_000 / 20);
  expect(readsOf(world, bad)).toBeGreaterThan(0);
  world.disk.badFiles.clear();
  world.deliverAll();
  expect(world.messages.slice(0, 2)).toEqual(['event 0', 'event 1']);
  expect(world.messages.length + world.lost).toBe(world.appended.length);
});

test('many of its files cannot be read: one is tried again and one comes to light at a time, so that nobody waits for all of them', () => {
  const world = filled();
  const bad = ['0000000001.events', '0000000002.events', '0000000003.events'];
  for (const name of bad) world.disk.badFiles.add(name);
  while (readsOf(world, '0000000001.events') === 0) world.append();
  world.append();
  expect(bad.map((name) => readsOf(world, name))).toEqual([1, 0, 0]);
  expect(world.outbox.trouble).toMatchObject({ reason: 'EIO: i/o error, read' });
  world.clock.advance(1_000);
  expect(bad.map((name) => readsOf(world, name))).toEqual([2, 1, 0]);
  expect(appendFor(world, 60)).toBeLessThanOrEqual(bytesMax + slack);
  expect(world.outbox.trouble).toBeNull();
});

describe('no room can be made', () => {
  /** Of the calls since it was filled, those that took the disk long. */
  const asked = ({ disk }: World): number => disk.steps.filter((step) => /^(?:read|remove) \d/.test(step)).length;

  test('for nothing can be read: the disk is asked less and less often, and it is made when that can be', () => {
    const world = filled();
    world.disk.unreadable = true;
    appendFor(world, 3_600);
    // 1, 2, 4 … 256 s, then every 5 min: 20 looks, of which each tries one file again and comes upon another.
    expect(asked(world)).toBeLessThanOrEqual(42);
    expect(asked(world)).toBeGreaterThanOrEqual(30);
    expect(world.outbox.trouble).toMatchObject({ reason: 'EIO: i/o error, read' });
    world.disk.unreadable = false;
    world.clock.advance(300_000);
    expect(sizeOf(world)).toBeLessThanOrEqual(bytesMax + slack);
    expect(world.outbox.trouble).toBeNull();
    world.deliverAll();
    expect(world.messages.length + world.lost).toBe(world.appended.length);
  });

  test('for nothing can be removed, at once and for whatever reason: the disk is not asked by each event', () => {
    const world = filled();
    appendFor(world, 30);
    world.disk.readOnly = true;
    world.disk.arm(null);
    for (let index = 0; index < 100; index += 1) world.append();
    expect(asked(world)).toBeLessThanOrEqual(2);
    world.disk.readOnly = false;
    world.clock.advance(1_000);
    // What was in memory is in one file then, which is left with the next event.
    expect(appendFor(world, 2)).toBeLessThanOrEqual(bytesMax + slack);
    world.deliverAll();
    expect(world.messages.length + world.lost).toBe(world.appended.length);
  });
});

test('files that turn bad and sound again, a disk that refuses changes or is full: it stays within its room, all else is counted', () => {
  const act = fc.constantFrom('append', 'append', 'append', 'error', ...happenings);
  fc.assert(
    fc.property(fc.array(fc.tuple(act, fc.nat(5_000)), { maxLength: 200, size: 'max' }), (acts) => {
      const world = new World({ bytesMax, memoryBytesMax: 1_000 });
      for (const [what, number] of acts) {
        if (what === 'append' || what === 'error')
          for (let count = 0; count < 3; count += 1) world.append(what === 'error' ? what : 'info');
        world.happens(what, number);
      }
      world.disk.readOnly = world.disk.full = false;
      appendFor(world, 30);
      // The longest pause, for each file that may come to light as bad.
      for (let count = 0; count < 20; count += 1) world.clock.advance(300_000);
      const bad = [...world.disk.badFiles].reduce((sum, name) => sum + (world.disk.files.get(name)?.data.length ?? 0), 0);
      // Not what stands on the disk: what is acknowledged and could not be removed is for the next life.
      expect(world.outbox.backlog().bytes).toBeLessThanOrEqual(bytesMax + bad + slack);
      world.disk.badFiles.clear();
      world.clock.advance(300_000);
      world.deliverAll();
      expect(world.outbox.pending).toBe(0);
      expect(new Set(world.messages).size).toBe(world.messages.length);
      expect(world.messages.length + world.lost).toBeGreaterThanOrEqual(world.appended.length);
    }),
    { numRuns: 100 },
  );
});
