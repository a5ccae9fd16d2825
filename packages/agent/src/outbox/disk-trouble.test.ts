import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { happenings, OutboxWorld as World, silentLogger } from '../../../../test/support/outbox-world.ts';

describe('a disk that fails', () => {
  const hour = 3_600_000;

  test('is read less and less often, is said once and as long as it lasts, and is taken up again by itself', () => {
    const world = new World();
    for (let index = 0; index < 20; index += 1) world.append();
    world.settle();
    world.disk.unreadable = true;
    world.reopen();
    world.append();
    const before = world.disk.reads;
    world.clock.advance(hour);
    // 1, 2, 4 … 256 s, then every 5 min: 20 looks. A reading ends at the first file that fails.
    expect(world.disk.reads - before).toBeLessThanOrEqual(21);
    expect(world.disk.reads - before).toBeGreaterThanOrEqual(15);
    expect(world.outbox.trouble).toEqual({ since: world.clock.now() - hour, reason: 'EIO: i/o error, read' });
    world.disk.unreadable = false;
    world.clock.advance(300_000);
    expect(world.outbox.trouble).toBeNull();
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
    // The next failure is a new one.
    world.disk.readOnly = true;
    world.append();
    world.disk.readOnly = false;
    world.clock.advance(1_000);
    expect(world.outbox.backlog().oldestAt).not.toBeNull();
    expect(world.outbox.trouble).toBeNull();
  });

  test('a bad block under a file of this life: what happens now does not wait for it, it is said once, and tried again', () => {
    const world = new World();
    for (let index = 0; index < 12; index += 1) world.append();
    world.settle();
    const said = vi.spyOn(silentLogger, 'error');
    world.disk.badFiles.add('0000000001.events');
    const send = (): void => {
      world.settle();
      for (let quiet = 0; quiet < 3;) quiet = world.deliver(true) ? 0 : quiet + 1;
    };
    send();
    world.clock.advance(1_000);
    for (let count = 0; count < 24; count += 1) {
      world.append('error');
      send();
      world.clock.advance(hour / 4);
    }
    expect(world.messages).toEqual(world.appended.slice(12));
    expect(world.outbox.trouble).toMatchObject({ reason: 'EIO: i/o error, read' });
    expect(said.mock.calls.map((call: readonly unknown[]) => call[1])).toEqual([
      'event outbox: events cannot be read; they wait until they can',
    ]);
    world.disk.badFiles.clear();
    world.clock.advance(300_000);
    expect(world.outbox.trouble).toBeNull();
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
    said.mockRestore();
  });

  test('and where that comes to light in the middle of an append, which begins a file just then, no less', () => {
    const world = new World();
    for (let index = 0; index < 12; index += 1) world.append();
    world.settle();
    world.disk.badFiles.add('0000000001.events');
    world.online = true;
    const { epoch } = world.outbox;
    while (world.outbox.epoch === epoch) {
      world.append('error');
      // Each in a turn of its own.
      world.clock.advance(1);
    }
    const stuck = world.appended.length;
    // It came to light with the first file that was full, and not a turn later is another epoch begun.
    expect(stuck).toBeLessThanOrEqual(16);
    for (let minute = 0; minute < 60; minute += 1) {
      world.append('error');
      world.settle();
      while (world.deliver(true));
      expect(world.messages).toEqual(world.appended.slice(stuck));
      world.clock.advance(60_000);
    }
    world.disk.badFiles.clear();
    world.clock.advance(300_000);
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
    expect(world.outbox.pending).toBe(0);
  });

  test('and so where one of an earlier life has failed for long, which is tried every five minutes by now: nor is it read for each event', () => {
    const world = new World();
    const append12 = (): void => {
      for (let index = 0; index < 12; index += 1) world.append();
      world.settle();
    };
    append12();
    world.disk.badFiles.add('0000000001.events');
    world.reopen();
    append12();
    world.clock.advance(hour);
    const own = [...world.disk.files].find(([, { data }]) => data.includes(world.outbox.epoch))?.[0] ?? '';
    world.disk.badFiles.add(own);
    world.online = true;
    expect(world.deliver(true)).toBe(false);
    const before = world.disk.reads;
    for (let second = 0; second < 300; second += 1) {
      world.clock.advance(1_000);
      if (second % 10 === 0) world.append('error');
      world.disk.completeSyncs();
      while (world.deliver(true));
      expect(world.messages).toEqual(world.appended.slice(24));
    }
    expect(world.disk.reads - before).toBeLessThanOrEqual(2);
    world.disk.badFiles.clear();
    world.clock.advance(300_000);
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
  });

  test('and where the disk takes no event just then, which begins an epoch as well: one is enough, and no number is given twice', () => {
    const world = new World();
    for (let index = 0; index < 12; index += 1) world.append();
    world.settle();
    world.disk.badFiles.add('0000000001.events');
    expect(world.deliver(true)).toBe(false);
    world.disk.aborted = true;
    world.append('error');
    // The first is held back, and that of now leaves from memory.
    for (let round = 0; round < 3; round += 1) world.deliver(true);
    expect(world.messages).toEqual(['event 12']);
    const { epoch } = world.outbox;
    world.append('error');
    world.append('error');
    world.disk.aborted = false;
    world.clock.advance(1_000);
    expect(world.outbox.position).toEqual({ epoch, seq: 3 });
    for (let count = 0; count < 3; count += 1) world.append('error');
    world.disk.badFiles.clear();
    world.clock.advance(300_000);
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
  });

  test('files that turn bad and sound again at any time, in this life and the next: all that could be read arrives, once, and nothing waits', () => {
    const act = fc.constantFrom('append', 'append', 'append', 'error', 'deliver', 'on', 'off', 'settle', 'kill', ...happenings);
    fc.assert(
      fc.property(fc.array(fc.tuple(act, fc.nat(5_000)), { maxLength: 120, size: 'max' }), (acts) => {
        const world = new World();
        for (const [what, number] of acts) {
          if (what === 'append') world.append();
          if (what === 'error') world.append('error');
          if (what === 'on' || what === 'off') world.online = what === 'on';
          world.happens(what, number);
          if (what === 'settle') {
            world.disk.readOnly = world.disk.full = false;
            // The longest pause: what waits in memory is on the disk by then, and so outlives the process.
            world.clock.advance(300_000);
            world.settle();
          }
          if (what === 'kill') world.reopen();
        }
        world.online = false;
        // What has come to light does not hold up what happens then.
        const send = (): void => {
          for (let quiet = 0; quiet < 3; world.settle()) quiet = world.deliver(true) ? 0 : quiet + 1;
        };
        send();
        world.append('error');
        send();
        expect(world.messages).toContain(world.appended.at(-1));
        world.disk.badFiles.clear();
        world.disk.readOnly = world.disk.full = false;
        for (let minutes = 0; minutes < 30; minutes += 5) world.clock.advance(300_000);
        world.deliverAll();
        const arrived = new Set(world.messages);
        expect([...world.promised].filter((message) => !arrived.has(message))).toEqual([]);
        expect(world.messages).toHaveLength(arrived.size);
        expect(world.outbox.pending).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test('of descriptors there are none for a moment: what this life has written leaves as soon as there are', () => {
    const world = new World();
    for (let index = 0; index < 12; index += 1) world.append();
    world.settle();
    world.disk.unreadable = true;
    expect(world.deliver(true)).toBe(false);
    world.disk.unreadable = false;
    world.clock.advance(1_000);
    while (world.deliver(true));
    expect(world.messages).toEqual(world.appended);
  });

  test('one file of an earlier life that cannot be read is said once, however often others can', () => {
    const world = new World();
    for (let index = 0; index < 20; index += 1) world.append();
    world.settle();
    const said = vi.spyOn(silentLogger, 'error');
    world.disk.badFiles.add('0000000001.events');
    world.reopen();
    for (let minute = 0; minute < 60; minute += 1) {
      world.append();
      world.settle();
      while (world.deliver(true));
      world.clock.advance(60_000);
    }
    expect(world.messages).toEqual(world.appended.slice(20));
    expect(said).toHaveBeenCalledOnce();
    said.mockRestore();
  });

  test('is not asked by each event, and all arrive when it is sound again', () => {
    const world = new World();
    world.append();
    world.settle();
    world.disk.arm({ step: 0, kind: 'fail-on' });
    for (let count = 0; count < 50; count += 1) world.append();
    const asked = (): number => world.disk.steps.filter((step) => step === 'list').length;
    expect(world.disk.steps.filter((step) => step.startsWith('append'))).toHaveLength(1);
    expect(asked()).toBe(0);
    for (let minute = 0; minute < 60; minute += 1) {
      world.clock.advance(60_000);
      world.append();
    }
    // 1, 2, 4 … 256 s, then every 5 min.
    expect(asked()).toBeGreaterThanOrEqual(15);
    expect(asked()).toBeLessThanOrEqual(22);
    // They leave from memory, behind what is on it.
    while (world.deliver(true));
    expect(world.messages).toEqual(world.appended);
    world.append();
    world.disk.arm(null);
    world.clock.advance(300_000);
    world.reopen();
    world.deliverAll();
    expect(world.messages).toEqual(world.appended);
  });

  test('when it is only full, it is asked every second, and takes events as soon as it can', () => {
    const world = new World();
    world.settle();
    world.disk.full = true;
    world.append();
    world.clock.advance(hour);
    expect(world.outbox.trouble).toBeNull();
    world.disk.full = false;
    world.clock.advance(1_000);
    world.reopen();
    world.deliverAll();
    expect(world.messages).toEqual(['event 0']);
  });
});

describe('a file that an earlier life has left cannot be read any more when its turn comes', () => {
  /** Two lives, of which the first has left three events in a file that is bad by now. */
  function worldWithBadFile(): World {
    const world = new World();
    for (let count = 0; count < 3; count += 1) world.append();
    world.settle();
    world.reopen();
    world.append();
    world.settle();
    world.reopen();
    world.disk.badFiles.add('0000000001.events');
    world.append();
    return world;
  }

  /** Until there is nothing, also of another epoch. */
  function deliver(world: World): void {
    for (let quiet = 0; quiet < 2;) quiet = world.deliver(true) ? 0 : quiet + 1;
  }

  test('what happens now does not wait for it, nor do other lives; it is said, and comes once it can be read', () => {
    const world = worldWithBadFile();
    const since = world.clock.now();
    world.disk.completeSyncs();
    deliver(world);
    expect(world.messages).toEqual(['event 4']);
    expect(world.outbox.trouble).toEqual({ since, reason: 'EIO: i/o error, read' });
    world.clock.advance(10_000);
    deliver(world);
    expect(world.messages).toEqual(['event 4', 'event 3']);
    world.append();
    world.settle();
    deliver(world);
    expect(world.messages).toEqual(['event 4', 'event 3', 'event 5']);
    expect(world.outbox.trouble).toEqual({ since, reason: 'EIO: i/o error, read' });
    expect(world.outbox.pending).toBe(3);
    world.disk.badFiles.clear();
    // Whoever sends is told.
    world.online = true;
    world.clock.advance(300_000);
    expect(world.messages).toEqual(['event 4', 'event 3', 'event 5', 'event 0', 'event 1', 'event 2']);
    world.deliverAll();
    expect([world.messages.length, world.outbox.pending, world.outbox.trouble]).toEqual([6, 0, null]);
  });

  test('the next life does not take it for delivered, because later ones are', () => {
    const world = worldWithBadFile();
    world.settle();
    deliver(world);
    world.clock.advance(10_000);
    deliver(world);
    world.settle();
    expect(world.messages.toSorted()).toEqual(['event 3', 'event 4']);
    world.disk.badFiles.clear();
    world.reopen();
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended);
  });

  test('also when it was being sent as the connection went', () => {
    const world = worldWithBadFile();
    world.disk.badFiles.clear();
    world.deliver(false);
    world.disk.badFiles.add('0000000001.events');
    // In memory is another one by now.
    world.outbox.since({ epoch: 'epoch-2', seq: 0 });
    world.disk.completeSyncs();
    const { epoch, seq } = world.outbox.sending;
    expect([epoch, world.outbox.read(seq, 10)]).toEqual(['epoch-1', []]);
    expect(world.outbox.sending.epoch).toBe('epoch-3');
  });

  test('a dying disk is asked for one file at a time, and less and less often', () => {
    const world = new World();
    for (let life = 0; life < 20; life += 1) {
      world.append();
      world.settle();
      world.reopen();
    }
    world.append();
    world.disk.unreadable = true;
    world.settle();
    const before = world.disk.reads;
    for (let minute = 0; minute < 60; minute += 1) {
      world.clock.advance(60_000);
      while (world.deliver(true));
    }
    // 1, 2, 4 … 256 s, then every 5 min.
    expect(world.disk.reads - before).toBeLessThanOrEqual(21);
    expect(world.disk.reads - before).toBeGreaterThanOrEqual(15);
    expect(world.messages).toEqual(['event 20']);
    world.disk.unreadable = false;
    world.clock.advance(300_000);
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(world.appended.toSorted());
  });
});

test('events that were handed out from memory while the disk was full do not lend their numbers to others', () => {
  const world = new World();
  world.append();
  world.settle();
  world.disk.full = true;
  world.append();
  world.deliver(true);
  world.deliver(false);
  expect(world.messages).toEqual(['event 0', 'event 1']);
  world.disk.full = false;
  world.reopen();
  world.append();
  world.deliverAll();
  expect(world.messages).toEqual(['event 0', 'event 1', 'event 2']);
});

test('refuses every change, fsync too, and what may leave leaves at once: no event goes under two numbers, and the next life loses none', () => {
  const world = new World();
  world.append();
  world.settle();
  world.online = true;
  world.disk.aborted = true;
  world.append();
  world.settle();
  // It is acknowledged: what is in memory follows.
  world.deliver(true);
  world.deliver(true);
  world.settle();
  expect(world.messages).toEqual(['event 0', 'event 1']);
  expect(world.received.map(({ seq }) => seq)).toEqual([1, 1]);
  world.disk.aborted = false;
  world.reopen();
  world.append();
  world.deliverAll();
  expect(world.messages).toEqual(world.appended);
});

test('refuses every change while a full file is left for the next: the event that was to go there is not lost', () => {
  const world = new World();
  for (let count = 0; count < 3; count += 1) world.append();
  world.disk.aborted = true;
  world.append();
  world.append();
  world.deliverAll();
  expect(world.messages).toEqual(world.appended);
});

test('the collector has them, the disk is full, and the agent is killed again and again: none comes twice', () => {
  const world = new World();
  for (let count = 0; count < 5; count += 1) world.append();
  world.settle();
  world.disk.full = true;
  for (let life = 0; life < 5; life += 1) {
    world.append();
    for (let round = 0; round < 10; round += 1) {
      world.deliver(true);
      world.settle();
    }
    world.reopen();
  }
  world.deliverAll();
  expect(world.messages).toEqual(world.appended);
});

test('what a full queue dropped before the disk refused is counted', () => {
  const world = new World({ bytesMax: 4_000 });
  world.append();
  world.settle();
  const removals = vi.spyOn(world.disk, 'remove');
  for (let count = 0; count < 100; count += 1) {
    removals.mockClear();
    // The second file of each run does not go.
    removals.mockImplementation((name) => {
      if (removals.mock.calls.length > 1) throw Object.assign(new Error('EIO'), { code: 'EIO' });
      world.disk.files.delete(name);
    });
    world.append();
  }
  removals.mockRestore();
  world.deliverAll();
  expect(world.lost).toBeGreaterThan(0);
  expect(world.messages.length + world.lost).toBe(world.appended.length);
});
