/** A question about stored logs and its answer as text, ready to be sent: made where the blocks are unpacked. */
import type { ApiLogEntry } from '@relight/shared/api';
import { sseText } from '../sse-text.ts';
import { encodeCursor, type LogCursor } from './cursor.ts';
import { damageNotices } from './damage-notices.ts';
import { entryText } from './entry-text.ts';
import { lastEntries, readBackwards, readLogs, type EntryBatch, type PieceReads } from './read.ts';
import type { LogQuestion } from './selection.ts';

export type LogFormat = 'ndjson' | 'text' | 'sse';

/** Plain data: it goes to a thread. */
export interface LogRequest {
  readonly question: LogQuestion;
  /** Everything behind a cursor, the last entries (the newest last), or all of them with the newest first. */
  readonly order:
    | { readonly from: LogCursor; readonly limit?: number }
    | { readonly last: number }
    | { readonly newestFirst: true; readonly from?: LogCursor; readonly limit?: number };
  /** The newest piece that is read. */
  readonly upTo: number;
  readonly format: LogFormat;
}

/** Texts as they are found; empty ones are left out. Throws `usage` when the expression is none. */
export async function* answerLogs(store: PieceReads, request: LogRequest, signal?: AbortSignal): AsyncGenerator<string> {
  const noticesOf = damageNotices(store, request);
  const noticesText = (entries: readonly ApiLogEntry[], ended: boolean): string =>
    formatBatch({ entries: noticesOf(entries, ended), cursor: null }, request.format);
  for await (const batch of batchesOf(store, request, signal)) {
    const text = noticesText(batch.entries, 'last' in request.order) + formatBatch(batch, request.format);
    if (text !== '') yield text;
  }
  const text = noticesText([], true);
  if (text !== '') yield text;
}

async function* batchesOf(store: PieceReads, { question, order, upTo }: LogRequest, signal?: AbortSignal): AsyncGenerator<EntryBatch> {
  if ('newestFirst' in order) {
    const { limit = Infinity } = order;
    yield* limited(readBackwards(store, question, { ...order, upTo, limit }, signal), limit);
  } else if ('last' in order) {
    yield { entries: await lastEntries(store, question, { upTo, limit: order.last }, signal), cursor: null };
  } else {
    const { from, limit = Infinity } = order;
    yield* limited(readLogs(store, question, { from, upTo, limit }, signal), limit);
  }
}

/** At most `limit` entries; when there are more, the last one says where to go on. */
async function* limited(batches: AsyncIterable<EntryBatch>, limit: number): AsyncGenerator<EntryBatch> {
  let left = limit;
  let held: EntryBatch | null = null;
  for await (const batch of batches) {
    if (held !== null) {
      const { cursor, entries } = held;
      yield { cursor, entries: entries.map((last) => ({ ...last, ...(cursor === null ? {} : { next: encodeCursor(cursor) }) })) };
      return;
    }
    left -= batch.entries.length;
    if (left > 0) {
      yield batch;
      continue;
    }
    // Only the very last entry has to know whether there is more, and with rare ones that can take all the rest of the search.
    if (batch.entries.length > 1) yield { entries: batch.entries.slice(0, -1), cursor: null };
    held = { ...batch, entries: batch.entries.slice(-1) };
  }
  if (held !== null) yield held;
}

function formatBatch({ entries, cursor }: EntryBatch, format: LogFormat): string {
  if (format === 'ndjson') return entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
  if (format === 'text') return entries.map(entryText).join('');
  return entries
    .map((entry, index) =>
      sseText({
        event: eventOf(entry),
        data: entry,
        ...(cursor !== null && index === entries.length - 1 ? { id: encodeCursor(cursor) } : {}),
      }),
    )
    .join('');
}

export const eventOf = (entry: ApiLogEntry): 'gap' | 'line' => ('gap' in entry ? 'gap' : 'line');
