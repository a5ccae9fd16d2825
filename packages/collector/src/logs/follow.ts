/**
 * Follows logs: what is stored, then what is committed from now on, merged by time over a short wait. A slow reader never slows
 * ingest: pieces it does not fetch in time are dropped from its buffer, oldest first, and reported as counted gaps.
 */
import { setImmediate } from 'node:timers/promises';
import type { ApiLogEntry } from '@relight/shared/api';
import { delay, type Clock } from '@relight/shared/clock';
import type { Bus } from '../bus.ts';
import type { Fleet } from '../fleet.ts';
import type { LogCursor } from './cursor.ts';
import { PieceDecoder } from './decode.ts';
import { PieceMerger } from './merge.ts';
import { PieceBuffer } from './piece-buffer.ts';
import { newestPlace, type PieceReads } from './read.ts';
import { pieceMatches, type LogSelection } from './selection.ts';

export interface FollowDeps {
  readonly store: PieceReads;
  readonly fleet: Fleet;
  readonly bus: Bus;
  readonly clock: Clock;
}

/** One entry and the cursor behind it; `cursor` is null where resuming would not be exact. A batch may be only a cursor. */
export interface FollowItem {
  readonly entry: ApiLogEntry | null;
  readonly cursor: LogCursor | null;
}

/** Well within the 50 ms that a viewer does not notice; commits of one moment come within a few ms of each other. */
const mergeDelayMs = 20;
/**
 * Of whole records: an agent sends what is written within some 10 ms while somebody watches, and a traceback is often written a line at a
 * time. What comes later than this is an entry of its own.
 */
const recordDelayMs = 250;
/** Packed, of pieces that are here already: of a fleet that writes more, records are cut rather than memory filled. */
const heldBytesMax = 4 * 1024 * 1024;
/** A cursor names every piece that is half read: with more of them only the end of the batch has one. */
const exactPiecesMax = 16;
const batchItems = 512;

export interface FollowRange<H> {
  /** Nothing behind this place is older than what `history` gives; null: the newest piece is. */
  readonly from: LogCursor | null;
  /** What is stored, up to a piece. */
  readonly history: (upTo: number) => AsyncIterable<H>;
}

export async function* followLogs<H>(
  deps: FollowDeps,
  selection: LogSelection,
  { from, history }: FollowRange<H>,
  signal: AbortSignal,
): AsyncGenerator<H | readonly FollowItem[]> {
  const buffer = new PieceBuffer((piece) => pieceMatches(selection, deps.fleet, piece), deps.clock);
  const subscription = deps.bus.subscribe('logs', (piece) => buffer.add(piece));
  signal.addEventListener('abort', () => buffer.wake(), { once: true });
  try {
    // Subscribed before this look, so that every piece is either stored behind it or comes through the buffer.
    const newest = newestPlace(deps.store);
    const done: LogCursor = newest !== null && newest.done >= (from?.done ?? 0) ? newest : { ...from, done: from?.done ?? 0, partly: [] };
    buffer.seen = done.done;
    yield* history(done.done);
    yield [{ entry: null, cursor: done }];
    yield* live(deps, selection, buffer, done, signal);
  } finally {
    subscription.dispose();
  }
}

interface WaitingPiece {
  readonly dueAt: number;
  readonly open: { readonly finished: boolean };
}

/** Whether the piece that has waited longest must go now. Those that have gone are forgotten. */
function isDue(waiting: WaitingPiece[], now: number): boolean {
  while (waiting[0]?.open.finished === true) waiting.shift();
  return waiting[0] !== undefined && waiting[0].dueAt <= now;
}

/**
 * In order of time as far as a short wait can bring it about: an entry goes when its piece has been here for that long, and then
 * everything that is older goes before it. So no entry waits longer, however many streams there are.
 */
async function* live(
  { clock }: FollowDeps,
  selection: LogSelection,
  buffer: PieceBuffer,
  done: LogCursor,
  signal: AbortSignal,
): AsyncGenerator<readonly FollowItem[]> {
  const decoder = new PieceDecoder(selection, 'live');
  const merger = new PieceMerger((piece, first, end) => decoder.decode(piece, first, end), 1, done);
  const oneStream = selection.hosts.length === 1 && selection.workload !== undefined && selection.source !== undefined;
  const whole = selection.multiline === true;
  const waitMs = whole ? recordDelayMs : oneStream ? 0 : mergeDelayMs;
  const isTooMuch = (): boolean => whole && merger.bytes > heldBytesMax;
  const waiting: WaitingPiece[] = [];
  for (;;) {
    const [oldest] = waiting;
    if (oldest === undefined) await buffer.filled();
    else if (isTooMuch()) await setImmediate();
    else if (oldest.dueAt > clock.monotonic()) await delay(clock, oldest.dueAt - clock.monotonic(), signal).catch(() => undefined);
    if (signal.aborted) return;
    const { pieces, gaps } = buffer.take(clock.now());
    for (const { piece, arrivedAt } of pieces) {
      decoder.arrived(piece);
      waiting.push({ dueAt: arrivedAt + waitMs, open: merger.add(piece) });
    }
    let items: FollowItem[] = gaps.map((entry) => ({ entry, cursor: null }));
    while (isDue(waiting, isTooMuch() ? Infinity : clock.monotonic())) {
      const next = merger.next();
      if (typeof next === 'object') items.push({ entry: next.entry, cursor: merger.pieces <= exactPiecesMax ? merger.cursor() : null });
      else await setImmediate();
      if (items.length < batchItems) continue;
      yield items;
      items = [];
      if (signal.aborted) return;
    }
    if (items.length > 0 || pieces.length > 0) yield [...items, { entry: null, cursor: merger.cursor() }];
  }
}
