/** How a sink stands is told by what waits for it, not by a test alert that went past that. */
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { SinkBook, sinkReports } from './sink-book.ts';
import type { NotificationRecord } from '../../store/store.ts';

const delivered = { outcome: 'delivered' } as const;
const refused = { outcome: 'refused', reason: 'HTTP 413' } as const;

function world() {
  const clock = new ManualClock();
  const book = new SinkBook(clock);
  const queue: NotificationRecord[] = [];
  const store = { pendingNotifications: () => queue, waitingNotifications: () => queue.length };
  return {
    clock,
    book,
    waits: (attempts: number): void => {
      queue[0] = { id: 1, sink: 's', body: '{}', createdAt: clock.now(), attempts, nextAttemptAt: clock.now() };
    },
    test: () => book.noteTest('s', delivered, queue[0]),
    deliver: (): void => {
      queue.length = 0;
      book.note('s', delivered);
    },
    report: () => sinkReports(store, [{ name: 's', type: 'webhook' }], book)[0],
  };
}

test('a test alert that is taken leaves a sink failing while the head of its queue is refused', () => {
  const { clock, book, waits, test, deliver, report } = world();
  waits(1);
  const since = clock.now();
  book.note('s', refused);
  clock.advance(60_000);
  test();
  expect(report()).toMatchObject({ state: 'failing', failingSince: since, reason: 'HTTP 413', waiting: 1 });
  deliver();
  expect(report()).toMatchObject({ state: 'ok', failingSince: null, reason: null, waiting: 0 });
});

test('and one that failed for the collector before this one, too', () => {
  const { waits, test, report } = world();
  waits(3);
  test();
  expect(report()).toMatchObject({ state: 'failing', waiting: 1 });
});

test.each([
  ['nothing waits', null],
  ['what waits was not tried yet', 0],
])('it says that all is well again when %s', (_, attempts) => {
  const { book, waits, test, report } = world();
  if (attempts !== null) waits(attempts);
  book.noteTest('s', refused, undefined);
  expect(report()).toMatchObject({ state: 'failing', reason: 'HTTP 413' });
  test();
  expect(report()).toMatchObject({ state: 'ok', reason: null });
});
