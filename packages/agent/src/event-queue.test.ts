import { expect, test } from 'vitest';
import { EventQueue } from './event-queue.ts';

test('what comes while an event is taken waits for its turn; it settles once, when nothing is left', () => {
  const said: string[] = [];
  const queue: EventQueue<number> = new EventQueue(
    (event) => {
      said.push(`begin ${event}`);
      if (event < 3) queue.add(event + 1);
      said.push(`end ${event}`);
    },
    () => void said.push('settle'),
  );
  queue.add(1);
  expect(said).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3', 'settle']);
});

test('what is added while it settles is taken, too; an event that cannot be taken does not stop the next one', () => {
  const said: number[] = [];
  let settled = 0;
  const queue: EventQueue<number> = new EventQueue(
    (event) => {
      if (event === 0) throw new Error('no');
      said.push(event);
    },
    () => {
      if ((settled += 1) === 1) queue.add(2);
    },
  );
  expect(() => queue.add(0)).toThrow('no');
  queue.add(1);
  expect(said).toEqual([1, 2]);
  expect(settled).toBe(2);
});
