/** Reading in threads of their own, from a store on disk. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '@relight/shared/clock';
import { packBlock } from '@relight/shared/log-block';
import { waitFor } from '../../../../test/support/wait.ts';
import { openStore, type SqliteStore } from '../store/sqlite-store.ts';
import type { LogRequest } from './answer.ts';
import { newestPlace } from './read.ts';
import { readerPool, type ReaderPool } from './reader-pool.ts';

const blocks = 40;
const linesEach = 1_000;
const beginning = { done: 0, partly: [] };
let dataDir: string;
let store: SqliteStore;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-reader-'));
  store = await openStore({ dataDir, clock: systemClock });
  let from = 0;
  // Side by side: each by itself waits for the disk.
  const commits: Promise<unknown>[] = [];
  for (let block = 0; block < blocks; block += 1) {
    let to = from;
    const lines = Array.from({ length: linesEach }, (_, index) => {
      const text = index === 500 ? `needle${block} in block ${block}` : `INFO step ${block * linesEach + index} loss 0.5`;
      const line = {
        offset: to,
        at: block * 1_000 + index,
        approx: false,
        stream: 'stdout' as const,
        bytes: Buffer.from(text),
        truncated: false,
      };
      to += text.length + 1;
      return line;
    });
    const packed = packBlock({ workload: 'w', generation: 1, source: 'process', run: 'r' }, from, to, lines);
    commits.push(store.commitBlock('agent', 'h', packed, block * 1_000 + 999));
    from = to;
  }
  await Promise.all(commits);
});
afterAll(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true });
});

const request = (question: LogRequest['question'], order: LogRequest['order'] = { from: beginning }): LogRequest => ({
  question,
  order,
  upTo: newestPlace(store)?.done ?? 0,
  format: 'ndjson',
});

async function all(chunks: AsyncIterable<Uint8Array>): Promise<{ line: string; offset: number }[]> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts)
    .toString()
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text) as { line: string; offset: number });
}

test('everything in order, in several questions at once, while this thread is free', async () => {
  await using pool = disposable();
  const answers = await Promise.all(Array.from({ length: 4 }, () => all(pool.read(request({})))));
  for (const lines of answers) {
    expect(lines).toHaveLength(blocks * linesEach);
    expect(lines.every(({ offset }, index) => index === 0 || offset > (lines[index - 1]?.offset ?? 0))).toBe(true);
  }
});

test('one word, newest first, an expression, the last lines', async () => {
  await using pool = disposable();
  const texts = async (question: LogRequest['question'], order?: LogRequest['order']): Promise<string[]> =>
    (await all(pool.read(request(question, order)))).map(({ line }) => line);
  expect(await texts({ words: ['NEEDLE7'] })).toEqual(['needle7 in block 7']);
  expect(await texts({ grep: 'needle[0-9]* in' }, { newestFirst: true, limit: 2 })).toEqual([
    'needle39 in block 39',
    'needle38 in block 38',
  ]);
  expect(await texts({ grep: 'needle' }, { last: 1 })).toEqual(['needle39 in block 39']);
});

test('an expression that is none is refused with its reason', async () => {
  await using pool = disposable();
  await expect(all(pool.read(request({ grep: '(' })))).rejects.toMatchObject({ code: 'usage' });
  expect(await all(pool.read(request({ words: ['needle3'] })))).toHaveLength(1);
});

test('who leaves, or says so, is worked for no longer', async () => {
  await using pool = disposable();
  const early = pool.read(request({}))[Symbol.asyncIterator]();
  expect((await early.next()).done).toBe(false);
  await early.return?.(undefined);
  const stop = new AbortController();
  const seen: Uint8Array[] = [];
  for await (const chunk of pool.read(request({}), stop.signal)) {
    seen.push(chunk);
    stop.abort();
  }
  expect(seen).toHaveLength(1);
  await waitFor(() => pool.busy === 0, { what: 'the threads to be idle' });
});

test('whoever does not fetch holds up nobody else', async () => {
  await using pool = disposable();
  const slow = Array.from({ length: 4 }, () => pool.read(request({}))[Symbol.asyncIterator]());
  await Promise.all(slow.map((one) => one.next()));
  expect(await all(pool.read(request({ words: ['needle3'] })))).toHaveLength(1);
  for (const one of slow) await one.return?.(undefined);
});

test('a closed pool answers nothing more', async () => {
  const pool = readerPool(dataDir);
  const open = pool.read(request({}))[Symbol.asyncIterator]();
  await open.next();
  await pool.close();
  await expect(all(pool.read(request({})))).rejects.toMatchObject({ code: 'store-failed' });
});

function disposable(): ReaderPool & AsyncDisposable {
  const pool = readerPool(dataDir);
  return {
    read: (asked, signal) => pool.read(asked, signal),
    close: () => pool.close(),
    get busy() {
      return pool.busy;
    },
    [Symbol.asyncDispose]: () => pool.close(),
  };
}
