/**
 * The thread that keeps the files in order beside everything else: it copies write-ahead logs into their files, seals log files
 * that are no longer written to, and reads through all of them again and again for damage that nobody has met yet. It starts
 * itself like the writing thread (writer-worker.ts), and gives way to whoever else wants the processor.
 */
import type { Database } from 'better-sqlite3';
import { readlinkSync, statSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { isMainThread, parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { errorMessage } from '@relight/shared/errors';
import { openForWriting } from '../database.ts';
import { checkLogFile } from './check.ts';
import { BesideCommits } from './checkpoints.ts';
import { listLogFiles, logDirectory, type LogFileName } from './file-names.ts';
import { openLogFile, openLogFileForReading } from './log-file.ts';
import type { LogDamage } from './log-writer.ts';
import { isDamage, readMeta } from './schema.ts';
import { sealFailure, sealLogFile } from './seal.ts';

export interface MaintenanceData {
  readonly role: 'relight-store-maintenance';
  readonly dataDir: string;
}
/** `seal`: at once, not when it has time; answered with `sealed` when nothing is left to seal. */
export type MaintenanceRequest = 'seal' | 'close';
export type MaintenanceReport = { readonly damage: LogDamage } | { readonly failed: string } | 'sealed';

/** While somebody writes; a flood that begins in between is bounded by the writing thread. */
const checkpointEveryMs = 100;
/** While nobody does. */
const restMs = 1_000;
const sealEveryMs = 30_000;
/** What could not be sealed is tried again when whatever was in the way may be gone. */
const sealAgainMs = 600_000;
/** One file at a time: a store of a hundred files is read through in four days. */
const checkEveryMs = 3_600_000;

class Maintenance {
  readonly #port: MessagePort;
  readonly #directory: string;
  readonly #main: Database;
  readonly #mainLog: BesideCommits;
  #newest: { readonly db: Database; readonly log: BesideCommits } | null = null;
  #closing = false;
  readonly #sealAgainAt = new Map<string, number>();
  readonly #checkedAt = new Map<string, number>();
  readonly #told = new Set<string>();

  constructor(port: MessagePort, dataDir: string) {
    this.#port = port;
    this.#directory = logDirectory(dataDir);
    this.#main = openForWriting(dataDir);
    this.#main.pragma('wal_autocheckpoint = 0');
    this.#mainLog = new BesideCommits(this.#main);
  }

  async run(): Promise<void> {
    const began = performance.now();
    let [sealAt, checkAt] = [began + sealEveryMs, began + checkEveryMs];
    let sealNow = false;
    let wake = (): void => undefined;
    this.#port.on('message', (request: MaintenanceRequest) => {
      if (request === 'close') this.#closing = true;
      else sealNow = true;
      wake();
    });
    while (!this.#closing) {
      // From here on: what is asked while files are sealed is not left for the rest behind it.
      const woken = new Promise<void>((resolve) => (wake = resolve));
      const written = this.#checkpoint();
      const now = performance.now();
      if (sealNow || now >= sealAt) {
        const asked = sealNow;
        sealNow = false;
        await this.#sealAll();
        if (asked) this.#tell('sealed');
        sealAt = performance.now() + sealEveryMs;
      }
      if (now >= checkAt) {
        this.#checkOne();
        checkAt = performance.now() + checkEveryMs;
      }
      // The port keeps the thread alive: a rest that was broken off must not do so for the rest of its second.
      const rest = sleep(written ? checkpointEveryMs : restMs, undefined, { ref: false });
      await Promise.race([rest, woken]);
    }
    this.#newest?.db.close();
    this.#main.close();
    this.#port.close();
  }

  #tell(report: MaintenanceReport): void {
    this.#port.postMessage(report, []);
  }

  /** True: something was written since the last time. */
  #checkpoint(): boolean {
    try {
      const written = this.#mainLog.copy();
      const newest = this.#files().at(-1);
      if (newest?.path !== this.#newest?.db.name) {
        this.#newest?.db.close();
        this.#newest = newest === undefined || newest.sealed ? null : withLog(openLogFile(newest.path));
      }
      return this.#newest?.log.copy() === true || written;
    } catch {
      // The writer meets the same trouble, and answers for it.
      this.#newest?.db.close();
      this.#newest = null;
      return false;
    }
  }

  /** In the order of their ids, those that cannot be opened left out. */
  #files(): LogFileName[] {
    const found: { readonly name: LogFileName; readonly firstId: number }[] = [];
    for (const name of listLogFiles(this.#directory)) {
      const firstId = this.#firstIdOf(name);
      if (firstId !== null) found.push({ name, firstId });
    }
    const paths = new Set(found.map(({ name }) => name.path));
    for (const path of this.#firstIds.keys()) if (!paths.has(path)) this.#firstIds.delete(path);
    return found.toSorted((a, b) => a.firstId - b.firstId).map(({ name }) => name);
  }

  /** With the time at which the file was made: a clock that was set back may give its name to another one. */
  readonly #firstIds = new Map<string, { readonly firstId: number; readonly madeMs: number }>();

  #firstIdOf({ path }: LogFileName): number | null {
    const known = this.#firstIds.get(path);
    const madeMs = statSync(path, { throwIfNoEntry: false })?.birthtimeMs ?? 0;
    if (known?.madeMs === madeMs) return known.firstId;
    try {
      const db = openLogFileForReading(path);
      try {
        const { firstId } = readMeta(db);
        this.#firstIds.set(path, { firstId, madeMs });
        return firstId;
      } finally {
        db.close();
      }
    } catch {
      return null;
    }
  }

  async #sealAll(): Promise<void> {
    for (const name of this.#files().slice(0, -1)) {
      if (this.#closing) return;
      if (name.sealed || performance.now() < (this.#sealAgainAt.get(name.path) ?? 0)) continue;
      try {
        let checkpointAt = performance.now() + checkpointEveryMs;
        for (const _ of sealLogFile(this.#directory, name)) {
          if (this.#closing) return;
          await turn();
          if (performance.now() < checkpointAt) continue;
          this.#checkpoint();
          checkpointAt = performance.now() + checkpointEveryMs;
        }
      } catch (error) {
        this.#sealAgainAt.set(name.path, performance.now() + sealAgainMs);
        if (isDamage(error)) this.#damaged(name, errorMessage(error));
        else this.#tell({ failed: sealFailure(name, error) });
      }
    }
  }

  /** The one that was looked at longest ago. */
  #checkOne(): void {
    const [name] = this.#files()
      .slice(0, -1)
      .toSorted((a, b) => (this.#checkedAt.get(a.path) ?? 0) - (this.#checkedAt.get(b.path) ?? 0));
    if (name === undefined) return;
    this.#checkedAt.set(name.path, performance.now());
    try {
      const [first, ...more] = checkLogFile(name.path).problems;
      if (first !== undefined) this.#damaged(name, `${first}${more.length === 0 ? '' : ` and ${more.length} more`}`);
    } catch (error) {
      this.#tell({ failed: `${name.name} could not be checked: ${errorMessage(error)}` });
    }
  }

  #damaged({ path }: LogFileName, message: string): void {
    if (this.#told.has(path)) return;
    this.#told.add(path);
    this.#tell({ damage: { file: path, message } });
  }
}

const withLog = (db: Database): { readonly db: Database; readonly log: BesideCommits } => ({ db, log: new BesideCommits(db) });

/** Linux knows a priority for every thread; elsewhere this one is like all others. */
function giveWay(): void {
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), constants.priority.PRIORITY_LOW);
  } catch {
    // No /proc, or a sandbox: it works all the same.
  }
}

const data = workerData as Partial<MaintenanceData> | null;
if (!isMainThread && parentPort !== null && data?.role === 'relight-store-maintenance') {
  giveWay();
  void new Maintenance(parentPort, data.dataDir ?? '').run();
}
