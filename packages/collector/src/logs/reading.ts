/** Who answers questions about stored logs: threads of their own (reader-pool.ts), or, without a store on disk, whoever asks. */
import { answerLogs, type LogRequest } from './answer.ts';
import type { PieceReads } from './read.ts';

export interface LogReading {
  /**
   * The answer as it is found, as UTF-8. Ending the loop, or `signal`, ends the work. Throws `usage` when the expression is none, and
   * `store-failed`.
   */
  read(request: LogRequest, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

export function readingHere(store: PieceReads): LogReading {
  return {
    async *read(request, signal) {
      for await (const text of answerLogs(store, request, signal)) yield Buffer.from(text);
    },
    async close() {},
  };
}
