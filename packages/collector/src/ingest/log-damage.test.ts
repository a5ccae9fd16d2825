import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import type { StoredEvent } from '../store/store.ts';
import { LogDamageBook } from './log-damage.ts';

test('says what was found before there was a store, and after, once each: log, event, metric', async () => {
  const warned: string[] = [];
  const told: StoredEvent[] = [];
  const store = new MemoryStore();
  const book = new LogDamageBook({ clock: new ManualClock(), warn: (_, { message }) => warned.push(message) });
  book.found({ file: '/data/logs/2026-11-22.db.damaged', message: 'malformed' });
  book.tellTo(store, (event) => told.push(event));
  book.found({ file: '/data/logs/2026-11-20.db', message: 'piece 7: its checksum is wrong' });
  // Other threads meet the same.
  book.found({ file: '/data/logs/2026-11-20.db', message: 'malformed' });
  book.found({ file: '/data/logs/2026-11-20.sealed.db', message: 'malformed' });
  book.found({ file: '/data/logs/2026-11-22.db', message: 'malformed' });
  await Promise.resolve();
  expect(warned).toEqual(['/data/logs/2026-11-22.db.damaged: malformed', '/data/logs/2026-11-20.db: piece 7: its checksum is wrong']);
  expect(store.events({ limit: 9 }).map(({ kind, severity, host, data }) => [kind, severity, host, data['file']])).toEqual([
    ['log.gap', 'error', '', '2026-11-22.db.damaged'],
    ['log.gap', 'error', '', '2026-11-20.db'],
  ]);
  expect(told).toHaveLength(2);
  expect(book.families()).toMatchObject([{ name: 'relight_store_damaged_log_files_total', samples: [{ value: 2 }] }]);
});
