import { expect, test } from 'vitest';
import type { ApiLogEntry } from '@relight/shared/api';
import { systemClock, type Clock } from '@relight/shared/clock';
import { ManualClock } from '@relight/shared/manual-clock';
import { packBlock } from '@relight/shared/log-block';
import { epoch, FakeFleet } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import { Bus } from '../bus.ts';
import type { LogCursor } from './cursor.ts';
import { followLogs, type FollowItem } from './follow.ts';
import { bufferPiecesMax } from './piece-buffer.ts';
import { lastEntries, readLogs } from './read.ts';
import { questionOf, type LogSelection } from './selection.ts';

const everything: LogSelection = { hosts: [], labels: [], previous: false };

class Source {
  readonly deps = { store: new MemoryStore(), bus: new Bus(), fleet: new FakeFleet(), clock: systemClock };
  readonly #ends = new Map<string, number>();

  /** Commits one line a host and publishes it, as ingest does. */
  async write(host: string, at: number, ...lines: string[]): Promise<void> {
    const from = this.#ends.get(host) ?? 0;
    let to = from;
    const raw = lines.map((text) => {
      const bytes = Buffer.from(text);
      const line = { offset: to, at: epoch + at, approx: false, stream: 'stdout' as const, bytes, truncated: false };
      to += bytes.length + 1;
      return line;
    });
    this.#ends.set(host, to);
    await this.deps.store.commitBlock(
      host,
      host,
      packBlock({ workload: 'w', generation: 1, source: 'process', run: '1' }, from, to, raw),
      epoch + at,
    );
    const piece = this.deps.store.pieceRows.at(-1);
    if (piece !== undefined) this.deps.bus.publish('logs', piece);
  }
}

type FollowFrom = { readonly last: number } | { readonly cursor: LogCursor };

/** What is stored, as a reader gets it from another thread: entries without cursors, and behind them the place. */
async function* history(
  { deps: { store, fleet } }: Source,
  selection: LogSelection,
  from: FollowFrom,
  upTo: number,
): AsyncGenerator<FollowItem[]> {
  const question = questionOf(selection, fleet);
  if ('last' in from) {
    const entries = await lastEntries(store, question, { upTo, limit: from.last });
    yield entries.map((entry) => ({ entry, cursor: null }));
    return;
  }
  for await (const { entries, cursor } of readLogs(store, question, { from: from.cursor, upTo })) {
    yield entries.map((entry, index) => ({ entry, cursor: index === entries.length - 1 ? cursor : null }));
  }
}

/** Reads a follower item by item. */
class Reader {
  readonly #generator: AsyncGenerator<readonly FollowItem[]>;
  readonly #stop = new AbortController();
  readonly entries: ApiLogEntry[] = [];
  readonly cursors: (LogCursor | null)[] = [];
  cursor: LogCursor | null = null;

  constructor(source: Source, from: FollowFrom, selection = everything, clock: Clock = systemClock) {
    const range = { from: 'cursor' in from ? from.cursor : null, history: (upTo: number) => history(source, selection, from, upTo) };
    this.#generator = followLogs({ ...source.deps, clock }, selection, range, this.#stop.signal);
  }
  async batch(): Promise<void> {
    const { value } = (await this.#generator.next()) as { value: readonly FollowItem[] };
    for (const { entry, cursor } of value) {
      if (entry !== null) {
        this.entries.push(entry);
        this.cursors.push(cursor);
      }
      this.cursor = cursor ?? this.cursor;
    }
  }
  async until(count: number): Promise<string[]> {
    while (this.entries.length < count) await this.batch();
    return this.entries.map((entry) => ('gap' in entry ? `gap ${entry.gap.reason}` : entry.line));
  }
  /** Through the history to the moment when only new lines are missing. */
  async caughtUp(): Promise<void> {
    while (this.cursor === null) await this.batch();
  }
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#generator.return(undefined);
  }
}

test('the last lines, then what is committed, in order of time; nothing twice', async () => {
  const source = new Source();
  await source.write('a', 0, 'one', 'two');
  await source.write('a', 1, 'three');
  const reader = new Reader(source, { last: 2 });
  expect(await reader.until(2)).toEqual(['two', 'three']);
  await reader.caughtUp();
  const more = reader.until(5);
  await source.write('a', 30, 'five');
  await source.write('b', 20, 'four');
  await source.write('a', 40, 'six');
  expect((await more).slice(2)).toEqual(['four', 'five', 'six']);
  await reader.stop();
});

test('a cursor behind any line goes on with the very next one', async () => {
  const source = new Source();
  const first = new Reader(source, { last: 10 });
  await first.caughtUp();
  const lines = first.until(6);
  await source.write('a', 10, 'a1', 'a2', 'a3');
  await source.write('b', 10, 'b1', 'b2', 'b3');
  const seen = await lines;
  await first.stop();
  await source.write('c', 11, 'c1');
  expect(first.cursors.filter((cursor) => cursor !== null).length).toBe(6);
  for (const [index, cursor] of first.cursors.entries()) {
    const again = new Reader(source, { cursor: cursor ?? { done: 0, partly: [] } });
    expect((await again.until(6 - index)).toSorted()).toEqual([...seen.slice(index + 1), 'c1'].toSorted());
    await again.stop();
  }
});

test('a reader that does not fetch loses the oldest lines, counted to the byte, and gets the newest', async () => {
  const source = new Source();
  const reader = new Reader(source, { last: 0 });
  await reader.caughtUp();
  const skipped = 37;
  for (let i = 0; i < bufferPiecesMax + skipped; i += 1) await source.write('a', i, `line ${i}`, 'x');
  const seen = await reader.until(1 + 2 * bufferPiecesMax);
  expect(seen[0]).toBe('gap slow-reader');
  expect(seen[1]).toBe(`line ${skipped}`);
  expect(seen.at(-2)).toBe(`line ${bufferPiecesMax + skipped - 1}`);
  const next = reader.entries[1] as { offset: number };
  expect(reader.entries[0]).toMatchObject({ host: 'a', gap: { from: 0, to: next.offset, lines: 2 * skipped, bytes: next.offset } });
  await reader.stop();
});

test('hundreds of streams are put in order of time; nothing waits longer than the short wait, whatever comes meanwhile', async () => {
  const source = new Source();
  const clock = new ManualClock();
  let waits = 0;
  const after: Clock['after'] = (ms, fn) => {
    waits += 1;
    return clock.after(ms, fn);
  };
  const counted: Clock = { now: () => clock.now(), monotonic: () => clock.monotonic(), after };
  const reader = new Reader(source, { last: 0 }, everything, counted);
  await reader.caughtUp();
  const hosts = Array.from({ length: 300 }, (_, index) => `h${index}`);
  const shuffled = hosts.toSorted((a, b) => Buffer.from(a).readUInt8(a.length - 1) - Buffer.from(b).readUInt8(b.length - 1));
  for (const host of shuffled) await source.write(host, Number(host.slice(1)), `line of ${host}`);
  const early = reader.until(hosts.length);
  // What comes behind has its own wait: it is later than nothing that has gone.
  await waitFor(() => waits === 1, { what: 'the reader to wait' });
  clock.advance(19);
  await source.write('late', 1_000, 'late, though here in time');
  expect(reader.entries).toEqual([]);
  clock.advance(1);
  expect(await early).toEqual(hosts.map((host) => `line of ${host}`));
  const late = reader.until(hosts.length + 1);
  await waitFor(() => waits === 2, { what: 'the reader to wait for the late one' });
  clock.advance(20);
  expect((await late).at(-1)).toBe('late, though here in time');
  await reader.stop();
});

const traceback = ['Traceback (most recent call last):', '  File "train.py", line 1, in <module>', '    step()', 'ValueError: x'];

test('a record that comes in several blocks is one entry, and no line of it comes twice', async () => {
  const source = new Source();
  const clock = new ManualClock();
  const reader = new Reader(source, { last: 0 }, { ...everything, multiline: true }, clock);
  await reader.caughtUp();
  const entries = reader.until(4);
  await source.write('a', 0, 'step 1');
  for (const [index, line] of traceback.entries()) await source.write('a', 10 * (index + 1), line);
  await source.write('b', 30, 'of another host');
  await source.write('a', 60, 'step 2');
  await waitFor(() => clock.pendingTimers > 0, { what: 'it to wait for the rest of a record' });
  clock.advance(250);
  expect(await entries).toEqual(['step 1', traceback.join('\n'), 'of another host', 'step 2']);
  await reader.stop();
});

test('a record that is wanted for its last line has its first ones; one that is slower than the wait comes in pieces, all of it', async () => {
  const source = new Source();
  const clock = new ManualClock();
  const reader = new Reader(source, { last: 0 }, { ...everything, hosts: ['a'], multiline: true, grep: 'ValueError' }, clock);
  await reader.caughtUp();
  const first = reader.until(1);
  for (const line of traceback) await source.write('a', 1, line);
  await waitFor(() => clock.pendingTimers > 0, { what: 'it to wait for the rest of a record' });
  clock.advance(250);
  expect(await first).toEqual([traceback.join('\n')]);
  const late = reader.until(2);
  await source.write('a', 600, 'ValueError: y');
  await waitFor(() => clock.pendingTimers > 0, { what: 'it to wait' });
  clock.advance(250);
  await late;
  const later = reader.until(3);
  await source.write('a', 1_200, '  indented under it, half a second later');
  await waitFor(() => clock.pendingTimers > 0, { what: 'it to wait' });
  clock.advance(250);
  expect((await later).slice(1)).toEqual(['ValueError: y', '  indented under it, half a second later']);
  await reader.stop();
});

test('stopping ends it while it waits, and leaves no listener behind', async () => {
  const source = new Source();
  const stop = new AbortController();
  const generator = followLogs(
    source.deps,
    everything,
    { from: null, history: () => history(source, everything, { last: 0 }, 0) },
    stop.signal,
  );
  await generator.next();
  await generator.next();
  const waiting = generator.next();
  stop.abort();
  expect(await waiting).toEqual({ done: true, value: undefined });
  await source.write('a', 0, 'nobody hears this');
});
