import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { buildTokenFilter, filterMayHold, probeOf } from '@relight/shared/token-filter';
import { filterReads } from './filter-reads.ts';

let db: Database.Database;
beforeEach(() => {
  db = new Database(':memory:');
  db.exec('CREATE TABLE filters (id INTEGER PRIMARY KEY, filter BLOB NOT NULL) STRICT');
});
afterEach(() => db.close());

test('the 32 bytes that are read say what the whole filter says, whatever its size', () => {
  const insert = db.prepare('INSERT INTO filters (id, filter) VALUES (?, ?)');
  const sizes = [1, 10, 300, 3_000, 30_000];
  const filters = sizes.map((count) =>
    buildTokenFilter(Buffer.from(Array.from({ length: count }, (_, index) => `token${index}`).join(' '))),
  );
  for (const [id, filter] of filters.entries()) insert.run(id, filter);
  const mayHold = filterReads(db);
  const tokens = Array.from({ length: 2_000 }, (_, index) => (index % 2 === 0 ? `token${index}` : `absent${index}`));
  for (const [id, filter] of filters.entries()) {
    const differing = tokens.filter((token) => mayHold(id, [probeOf(token)]) !== filterMayHold(filter, token));
    expect(differing).toEqual([]);
  }
  expect(mayHold(4, [probeOf('token1'), probeOf('token29999')])).toBe(true);
});

test('without a filter, or with one of no sense, a block may hold everything', () => {
  db.prepare('INSERT INTO filters (id, filter) VALUES (1, ?), (2, ?)').run(Buffer.alloc(0), Buffer.alloc(33));
  const mayHold = filterReads(db);
  expect([1, 2, 3].map((id) => mayHold(id, [probeOf('token')]))).toEqual([true, true, true]);
});
