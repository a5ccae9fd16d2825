/**
 * The reading thread. As the writing thread (store/writer-worker.ts) it starts itself where this module is loaded by a thread that was
 * started for it, from sources and in the bundle. Several questions are answered in turns of a few milliseconds; an answer that
 * nobody fetches waits.
 */
import { isMainThread, parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { toRelightError, type ErrorCode } from '@relight/shared/errors';
import type { LogDamage } from '../store/logs/log-writer.ts';
import { openLogReader } from '../store/logs/reader.ts';
import { answerLogs, type LogRequest } from './answer.ts';
import type { PieceReads } from './read.ts';

export interface ReaderData {
  readonly role: 'relight-log-reader';
  readonly dataDir: string;
}
/** To the thread. `fetched`: there is room for one more chunk. */
export type ReaderRequest =
  | { readonly kind: 'read'; readonly id: number; readonly request: LogRequest }
  | { readonly kind: 'fetched' | 'cancel'; readonly id: number }
  | { readonly kind: 'close' };
/** From the thread. */
export type ReaderAnswer =
  | { readonly kind: 'chunk'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'failed'; readonly id: number; readonly code: ErrorCode; readonly message: string };
/** From the thread, of no question: a whole file cannot be read. Once a file. */
export interface ReaderDamage {
  readonly kind: 'damage';
  readonly damage: LogDamage;
}

/** Chunks of a question that may be on their way: enough that neither side waits for the other. */
export const chunksAhead = 4;

interface Reading {
  readonly cancel: AbortController;
  room: number;
  wake: () => void;
}

function runReader(port: MessagePort, { dataDir }: ReaderData): void {
  const open = new Map<number, Reading>();
  const answer = (message: ReaderAnswer | ReaderDamage, transfer: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, [...transfer]);
  const store = openLogReader(dataDir, { onDamage: (file, { message }) => answer({ kind: 'damage', damage: { file, message } }) });

  port.on('message', (request: ReaderRequest) => {
    if (request.kind === 'close') {
      for (const { cancel } of open.values()) cancel.abort();
      store.close();
      port.close();
      return;
    }
    if (request.kind === 'read') {
      const reading: Reading = { cancel: new AbortController(), room: chunksAhead, wake: () => undefined };
      open.set(request.id, reading);
      void run(store, request, reading, answer).finally(() => open.delete(request.id));
      return;
    }
    const reading = open.get(request.id);
    if (reading === undefined) return;
    if (request.kind === 'cancel') reading.cancel.abort();
    else reading.room += 1;
    reading.wake();
  });
}

async function run(
  store: PieceReads,
  { id, request }: { readonly id: number; readonly request: LogRequest },
  reading: Reading,
  answer: (message: ReaderAnswer, transfer?: readonly ArrayBuffer[]) => void,
): Promise<void> {
  const { signal } = reading.cancel;
  try {
    for await (const text of answerLogs(store, request, signal)) {
      if (reading.room === 0) await new Promise<void>((resolve) => (reading.wake = resolve));
      if (signal.aborted) break;
      reading.room -= 1;
      const bytes = new TextEncoder().encode(text);
      answer({ kind: 'chunk', id, bytes }, [bytes.buffer]);
    }
    answer({ kind: 'end', id });
  } catch (thrown) {
    const { code, message } = toRelightError(thrown, 'store-failed');
    answer(signal.aborted ? { kind: 'end', id } : { kind: 'failed', id, code, message });
  }
}

const data = workerData as Partial<ReaderData> | null;
if (!isMainThread && parentPort !== null && data?.role === 'relight-log-reader') runReader(parentPort, data as ReaderData);
