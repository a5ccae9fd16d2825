/** A whole log file is damaged: read by the threads that answer readers. */
import { closeSync, mkdtempSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ApiLogEntry } from '@relight/shared/api';
import { packBlock } from '@relight/shared/log-block';
import { ManualClock } from '@relight/shared/manual-clock';
import type { LogDamage } from '../store/logs/log-writer.ts';
import { openStore } from '../store/sqlite-store.ts';
import type { LogFormat, LogRequest } from './answer.ts';
import { decodeCursor } from './cursor.ts';
import { readerPool, type ReaderPool } from './reader-pool.ts';

const day = 86_400_000;
const start = Date.UTC(2026, 10, 20, 12);
const segment = { workload: 'w', generation: 1, source: 'process', run: 'r' };
const beginning = { done: 0, partly: [] };
let dataDir: string;
let pool: ReaderPool;
let damages: LogDamage[];

/** A line a day and file; those of the third day cannot be read any more. */
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-damage-'));
  const store = await openStore({ dataDir, clock: new ManualClock() });
  for (let index = 0; index < 5; index += 1) {
    const line = { offset: index * 4, at: start + index * day, approx: false, stream: 'stdout' as const, truncated: false };
    const bytes = Buffer.from(`l-${index}`);
    await store.commitBlock('a', 'h', packBlock(segment, index * 4, index * 4 + 4, [{ ...line, bytes }]), start + index * day);
  }
  await store.close();
  const fd = openSync(join(dataDir, 'logs', '2026-11-22.db'), 'r+');
  writeSync(fd, Buffer.alloc(4_096, 0x5a), 0, 4_096, 0);
  closeSync(fd);
  damages = [];
  pool = readerPool(dataDir, (damage) => damages.push(damage));
});
afterEach(async () => {
  await pool.close();
  rmSync(dataDir, { recursive: true });
});

async function answer(order: LogRequest['order'], question: LogRequest['question'] = {}, format: LogFormat = 'ndjson'): Promise<string> {
  let text = '';
  for await (const chunk of pool.read({ question, order, upTo: 5, format })) text += Buffer.from(chunk).toString();
  return text;
}
const entries = (text: string): ApiLogEntry[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ApiLogEntry);
const shown = (text: string): string[] => entries(text).map((entry) => ('gap' in entry ? `${entry.gap.reason} ${entry.run}` : entry.line));
const gap = 'damaged-file 2026-11-22.db';

test('every answer that may lack something of it says so; the damage is told once a thread', async () => {
  expect(shown(await answer({ from: beginning })).toSorted()).toEqual([gap, 'l-0', 'l-1', 'l-3', 'l-4']);
  expect(shown(await answer({ from: beginning })).toSorted()).toEqual([gap, 'l-0', 'l-1', 'l-3', 'l-4']);
  expect(damages).toEqual([{ file: join(dataDir, 'logs', '2026-11-22.db'), message: expect.stringMatching(/not a database/) }]);
  expect(shown(await answer({ last: 100 }))).toEqual([gap, 'l-0', 'l-1', 'l-3', 'l-4']);
  expect(shown(await answer({ newestFirst: true })).toSorted()).toEqual([gap, 'l-0', 'l-1', 'l-3', 'l-4']);
  expect(shown(await answer({ from: beginning }, { words: ['nothing'] }))).toEqual([gap]);
});

test('an answer that does not reach so far does not; nor is it told again on the next page', async () => {
  expect(shown(await answer({ last: 2 }))).toEqual(['l-3', 'l-4']);
  expect(shown(await answer({ newestFirst: true, limit: 2 }))).toEqual(['l-4', 'l-3']);
  expect(shown(await answer({ last: 3 }))).toEqual([gap, 'l-1', 'l-3', 'l-4']);
  expect(shown(await answer({ from: beginning }, { since: start + 4 * day }))).toEqual(['l-4']);
  const first = entries(await answer({ from: beginning, limit: 2 }));
  const next = first.at(-1)?.next;
  expect(first).toHaveLength(3);
  expect(next).toBeDefined();
  expect(shown(await answer({ from: decodeCursor(next ?? '') ?? beginning }))).toEqual(['l-3', 'l-4']);
});

test('a file that was set aside is told of as well, also by who was started after that', async () => {
  renameSync(join(dataDir, 'logs', '2026-11-22.db'), join(dataDir, 'logs', '2026-11-22.db.damaged'));
  expect(shown(await answer({ from: beginning })).toSorted()).toEqual([gap, 'l-0', 'l-1', 'l-3', 'l-4']);
  expect(shown(await answer({ newestFirst: true })).toSorted()).toEqual([gap, 'l-0', 'l-1', 'l-3', 'l-4']);
  expect(shown(await answer({ last: 2 }))).toEqual(['l-3', 'l-4']);
  // It was told of when it was found.
  expect(damages).toEqual([]);
  rmSync(join(dataDir, 'logs', '2026-11-22.db.damaged'));
  expect(shown(await answer({ from: beginning }))).toEqual(['l-0', 'l-1', 'l-3', 'l-4']);
});

test('newest first, page by page: told where the reading passes the day', async () => {
  const first = entries(await answer({ newestFirst: true, limit: 2 }));
  expect(first.map((entry) => ('gap' in entry ? entry.gap.reason : entry.line))).toEqual(['l-4', 'l-3']);
  const from = decodeCursor(first.at(-1)?.next ?? '');
  const second = entries(await answer({ newestFirst: true, limit: 1, ...(from && { from }) }));
  expect(second.map((entry) => ('gap' in entry ? entry.gap.reason : entry.line))).toEqual(['damaged-file', 'l-1']);
  const third = decodeCursor(second.at(-1)?.next ?? '');
  // A place does not say what was told: rather twice than never.
  expect(shown(await answer({ newestFirst: true, ...(third && { from: third }) }))).toEqual([gap, 'l-0']);
});

test('people are told in words', async () => {
  expect(await answer({ last: 100 }, {}, 'text')).toContain(
    '--- gap: 2026-11-22.db is damaged, a whole log file of the collector: what it held cannot be read ---\n',
  );
});
