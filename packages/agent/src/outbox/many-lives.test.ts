/** What many lives leave behind, also those of an earlier version that was installed again in between. */
import { describe, expect, test } from 'vitest';
import { outboxEvent, OutboxWorld as World } from '../../../../test/support/outbox-world.ts';
import { encodeFile, encodeText } from './lines.ts';

describe('an earlier version was installed again, and then this one', () => {
  const later = (world: World, from: number, count: number) =>
    Array.from({ length: count }, (_, index) => {
      const message = `event ${world.appended.length}`;
      world.appended.push(message);
      return { ...outboxEvent(message), seq: from + index };
    });

  /** As the earlier version leaves it: 50.ndjson, and what the collector has of it. */
  function ofEarlierVersion(acknowledged: number): World {
    const world = new World();
    world.disk.files.clear();
    world.disk.replace('0000000050.ndjson', encodeFile({ epoch: 'earlier', firstSeq: 1 }, later(world, 1, 3)));
    setAcknowledged(world, 'earlier', acknowledged);
    return world;
  }

  const setAcknowledged = ({ disk }: World, epoch: string, seq: number): void =>
    disk.overwrite('acknowledged', encodeText(JSON.stringify({ epoch, seq }).padEnd(96)));

  test('what this version has left is not taken for delivered, because the earlier one has gone on and its files come later by name', () => {
    const world = ofEarlierVersion(0);
    world.reopen();
    world.append();
    world.append();
    world.settle();
    expect(world.disk.list()).toContain('0000000051.events');
    // What it had itself it has sent, and gone on with its next file.
    world.disk.remove('0000000050.ndjson');
    world.disk.replace('0000000051.ndjson', encodeFile({ epoch: 'earlier', firstSeq: 4 }, later(world, 4, 2)));
    setAcknowledged(world, 'earlier', 4);
    world.reopen();
    world.deliverAll();
    expect(world.messages.toSorted()).toEqual(['event 3', 'event 4', 'event 6']);
    expect(world.outbox.pending).toBe(0);
  });

  test('what it has left is not taken for delivered, because the collector has what this version wrote before that', () => {
    const world = ofEarlierVersion(0);
    world.reopen();
    world.append();
    world.append();
    world.deliverAll();
    expect(world.messages).toEqual(world.appended);
    const { data } = world.disk.files.get('0000000050.ndjson') ?? { data: Buffer.alloc(0) };
    const more = encodeFile({ epoch: 'earlier', firstSeq: 1 }, later(world, 4, 2));
    world.disk.replace('0000000050.ndjson', Buffer.concat([data, more.subarray(more.indexOf(10) + 1)]));
    world.reopen();
    world.append();
    world.deliverAll();
    expect(world.messages).toEqual(world.appended);
  });
});

describe('no collector is there', () => {
  const bytesMax = 256 * 1024;

  test('and the agent is started again and again: its files stay few, what is kept is sent once and in order, the rest is counted', () => {
    const world = new World({ bytesMax, fileBytesMax: bytesMax });
    for (let life = 0; life < 300; life += 1) {
      world.append();
      world.append('warning');
      world.settle();
      world.reopen();
    }
    // Of 4 KiB each, and that of how far the collector is.
    expect(world.disk.list().length).toBeLessThanOrEqual(bytesMax / 4_096 + 2);
    expect(world.outbox.backlog().bytes).toBeLessThanOrEqual(bytesMax + 4_096);
    world.deliverAll();
    const { messages, lost, appended } = world;
    expect(messages).toEqual(appended.slice(-messages.length));
    expect(messages.length).toBeGreaterThan(50);
    expect(lost).toBe(appended.length - messages.length);
  });
});
