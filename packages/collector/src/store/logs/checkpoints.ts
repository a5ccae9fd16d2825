/**
 * The write-ahead logs, kept short. The maintenance thread copies them into their files while commits go on (PASSIVE waits for
 * nobody), so a log usually begins again from its start by itself. Where readers or a flood of writes prevent that, the
 * writer itself waits a moment for readers before its log exceeds the limit.
 */
import type { Database } from 'better-sqlite3';
import { statSync } from 'node:fs';

/** Together with one more group it stays below 64 MiB. */
const walBytesHigh = 44 * 1024 * 1024;
/** Below this a checkpoint is not worth its fsync. */
const walBytesLow = 2 * 1024 * 1024;
/** A reader holds its place for one query. */
const readersWaitMs = 200;

export const walBytes = (path: string): number => statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;

/** In the writing thread, between two groups. */
export function boundWal(db: Database, busyTimeoutMs = 10_000): void {
  if (walBytes(db.name) <= walBytesHigh) return;
  db.pragma(`busy_timeout = ${readersWaitMs}`);
  try {
    db.pragma('wal_checkpoint(TRUNCATE)');
  } catch {
    // A full or failing disk: commits meet the same trouble, and answer for it. The thread must not die of it.
  } finally {
    db.pragma(`busy_timeout = ${busyTimeoutMs}`);
  }
}

/**
 * One of them, in the maintenance thread. The file of a log does not shrink when all of it is copied, so its time tells whether there is
 * anything new: a store that is left alone costs one look at it, and no checkpoint.
 */
export class BesideCommits {
  readonly #db: Pick<Database, 'name' | 'pragma'>;
  #seen = '';
  /** All that stood there at the last checkpoint is copied; false: a reader stood in the way. */
  #whole = true;

  constructor(db: Pick<Database, 'name' | 'pragma'>) {
    this.#db = db;
  }

  /** Copies what there is. True: something was written since the last call. */
  copy(): boolean {
    const { size, mtimeMs } = statSync(`${this.#db.name}-wal`, { throwIfNoEntry: false }) ?? { size: 0, mtimeMs: 0 };
    const seen = `${size} ${mtimeMs}`;
    const written = seen !== this.#seen;
    this.#seen = seen;
    if (size >= walBytesLow && (written || !this.#whole)) {
      const [{ busy, log, checkpointed }] = this.#db.pragma('wal_checkpoint(PASSIVE)') as [CheckpointAnswer];
      this.#whole = busy === 0 && log === checkpointed;
    }
    return written;
  }
}

/** `log`, `checkpointed`: pages. */
interface CheckpointAnswer {
  readonly busy: 0 | 1;
  readonly log: number;
  readonly checkpointed: number;
}
