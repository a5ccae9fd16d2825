/**
 * The writing thread. It starts itself where this module is loaded by a thread that was started for it, both from sources
 * (this file is the thread's entry) and in the bundle (the bundle is; main.ts then does nothing else).
 *
 * Gathering is natural: while one group is committed, the next one collects. So a lone write waits for nothing, and under
 * load one fsync (milliseconds) serves all writes that came during the one before.
 */
import type { Database } from 'better-sqlite3';
import { statSync } from 'node:fs';
import { isMainThread, parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { openForWriting } from './database.ts';
import { commitGroup, createWrites, type Command } from './writes.ts';

export interface WriterData {
  readonly role: 'relight-store-writer';
  readonly dataDir: string;
}
/** To the thread. `bytes`: the weight of a command, to bound a group. */
export type WriterRequest = { readonly command: Command; readonly bytes: number } | 'close';

const groupCommandsMax = 256;
/** A group stays well below the limit of the write-ahead log. */
const groupBytesMax = 16 * 1024 * 1024;
const walBytesMax = 64 * 1024 * 1024;

function runWriter(port: MessagePort, { dataDir }: WriterData): void {
  const db = openForWriting(dataDir);
  // SQLite checkpoints by itself at this size, unless a reader stands in the way: then checkpointWal does.
  db.pragma('wal_autocheckpoint = 4096');
  const writes = createWrites(db);
  let waiting: { command: Command; bytes: number }[] = [];
  let scheduled = false;

  const commitWaiting = (): void => {
    scheduled = false;
    while (waiting.length > 0) {
      const size = groupSize(waiting);
      const group = waiting.slice(0, size);
      waiting = waiting.slice(size);
      port.postMessage(
        commitGroup(
          db,
          writes,
          group.map(({ command }) => command),
        ),
      );
      checkpointWal(db);
    }
  };
  port.on('message', (request: WriterRequest) => {
    if (request === 'close') {
      commitWaiting();
      db.close();
      port.close();
      return;
    }
    waiting.push(request);
    if (scheduled) return;
    scheduled = true;
    // After this turn of the loop has delivered every message that is there.
    setImmediate(commitWaiting);
  });
  port.postMessage('ready');
}

function groupSize(waiting: readonly { bytes: number }[]): number {
  let bytes = 0;
  const end = waiting.findIndex((item, index) => index === groupCommandsMax || (bytes += item.bytes) > groupBytesMax);
  return end === -1 ? waiting.length : Math.max(1, end);
}

/** A checkpoint that waits for readers, before the log grows past its limit. */
function checkpointWal(db: Database): void {
  const wal = statSync(`${db.name}-wal`, { throwIfNoEntry: false });
  if (wal !== undefined && wal.size > walBytesMax - groupBytesMax) db.pragma('wal_checkpoint(TRUNCATE)');
}

const data = workerData as Partial<WriterData> | null;
if (!isMainThread && parentPort !== null && data?.role === 'relight-store-writer') runWriter(parentPort, data as WriterData);
