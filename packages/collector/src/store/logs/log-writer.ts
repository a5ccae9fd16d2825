/**
 * Where pieces are committed: the newest log file. A new one is begun each day and when one has grown large; a file that
 * turns out to be damaged is set aside, and a new one takes its place within the same commit.
 *
 * Rolling over is safe at any moment: the old file rests while the new one is made, with all marks in it, under a name that
 * nobody reads; it gets its own name only when it is on disk. Before that the old file is the newest, after it the new one.
 */
import type { Database } from 'better-sqlite3';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { commitGroup, type Command, type Outcome } from '../group-commit.ts';
import { dayOf, freeLogFileName, listLogFiles, logFileName, type LogFileName } from './file-names.ts';
import { fileWrites, type FileWrites } from './file-writes.ts';
import { makeLogFile, marksOf, openLogFile, openLogFileForReading, placeLogFile, removeLogFile, setAside, type Mark } from './log-file.ts';
import { isDamage, lastIdIn, readMeta, type LogFileMeta } from './schema.ts';

export interface LogFileLimits {
  /** A file that has so many bytes or pieces is closed, and sealed soon: what is searched often stays small. */
  readonly fileBytesMax: number;
  readonly filePiecesMax: number;
}
export const logFileLimits: LogFileLimits = { fileBytesMax: 256 * 1024 ** 2, filePiecesMax: 100_000 };

export interface LogDamage {
  /** The file under the name it has now. */
  readonly file: string;
  readonly message: string;
}

export interface LogWriterOptions {
  readonly directory: string;
  readonly limits?: LogFileLimits;
  readonly onDamage: (damage: LogDamage) => void;
}

interface CurrentFile {
  readonly name: LogFileName;
  readonly meta: LogFileMeta;
  readonly db: Database;
  readonly writes: FileWrites;
  bytes: number;
  pieces: number;
}

export type LogCommand = Command<Pick<FileWrites, 'commitBlock' | 'commitGap'>>;

/** How many ids a file that cannot be read may have given away: ids behind it begin above. */
const idsOfDamagedFile = 1_000_000_000;
const dayMs = 86_400_000;

export class LogWriter {
  readonly #directory: string;
  readonly #limits: LogFileLimits;
  readonly #onDamage: (damage: LogDamage) => void;
  #current: CurrentFile | null = null;
  #lastId = 0;

  /** @throws when the newest file cannot be opened for another reason than damage. */
  constructor({ directory, limits = logFileLimits, onDamage }: LogWriterOptions) {
    this.#directory = directory;
    this.#limits = limits;
    this.#onDamage = onDamage;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(directory)) if (/\.(?:new|sealing)(?:-(?:journal|wal|shm))?$/.test(name)) rmSync(join(directory, name));
    removeReplaced(directory);
    removeOrphans(directory);
    this.#openNewest();
  }

  /** The file that is written to; null before the first piece. */
  get current(): { readonly path: string; readonly db: Database } | null {
    return this.#current === null ? null : { path: this.#current.name.path, db: this.#current.db };
  }
  get lastId(): number {
    return this.#lastId;
  }

  /** One transaction in one file; its day is that of the first command's receipt. */
  commit(commands: readonly LogCommand[]): Outcome[] {
    const receivedAt = commands[0]?.args[3] ?? 0;
    return this.inFile(receivedAt, ({ db, writes }) => commitGroup(db, writes, commands, isDamage));
  }

  /** Runs `work` on the newest file, once more on a new one when it finds the file damaged. */
  inFile<T>(receivedAt: number, work: (file: { readonly db: Database; readonly writes: FileWrites }) => T): T {
    let file = this.#fileOf(receivedAt);
    for (let again = false; ; again = true) {
      const { bytes, pieces } = file;
      try {
        return work(file);
      } catch (error) {
        [file.bytes, file.pieces] = [bytes, pieces];
        if (again || !isDamage(error)) throw error;
        file = this.#replaceDamaged(file.name, dayOf(receivedAt), this.#lastId + 1, error as Error);
      }
    }
  }

  /** Ids up to this one are taken. */
  skipTo(id: number): void {
    this.#lastId = Math.max(this.#lastId, id);
  }

  close(): void {
    this.#current?.db.close();
    this.#current = null;
  }

  #fileOf(receivedAt: number): CurrentFile {
    const current = this.#current;
    const day = dayOf(receivedAt);
    if (current === null) return this.#begin(day, this.#lastId + 1, []);
    const { bytes, pieces, meta } = current;
    const full = bytes >= this.#limits.fileBytesMax || pieces >= this.#limits.filePiecesMax;
    // A clock that is set back by a little must not begin a file with every correction.
    const anotherDay = day > meta.day || day < dayOf(Date.parse(meta.day) - dayMs);
    if (!full && !anotherDay) return current;
    const next = this.#begin(day, this.#firstIdAfter(meta), marksOf(current.db));
    try {
      current.db.pragma('wal_checkpoint(PASSIVE)');
    } catch {
      // A full disk: what is in its write-ahead log is read from there until it is sealed.
    } finally {
      current.db.close();
    }
    return next;
  }

  /** Where files begin tells which of two is the newer one: of one that nothing was ever written to as well. */
  #firstIdAfter({ firstId }: LogFileMeta): number {
    this.skipTo(firstId);
    return this.#lastId + 1;
  }

  /** Makes and opens the file that is the newest from now on. */
  #begin(day: string, firstId: number, marks: Iterable<Mark>): CurrentFile {
    const name = freeLogFileName(this.#directory, day);
    const meta = { day, firstId, sealed: false };
    const made = `${name.path}.new`;
    makeLogFile(made, meta, marks).close();
    // Into its journal mode before it has its name: killed in that, it would have a journal that who only reads cannot roll back.
    openLogFile(made).close();
    placeLogFile(made, name.path);
    let db: Database | undefined;
    try {
      db = openLogFile(name.path);
      return this.#use(name, meta, db);
    } catch (error) {
      db?.close();
      // The file before it goes on, and must be the newest after a restart, too.
      removeLogFile(name.path);
      throw error;
    }
  }

  #use(name: LogFileName, meta: LogFileMeta, db: Database): CurrentFile {
    const sums = db
      .prepare<[], { bytes: number | null; pieces: number }>('SELECT sum(bytes) AS bytes, count(*) AS pieces FROM blocks')
      .get();
    const nextId = (): number => (this.#lastId += 1);
    const stored = (bytes: number): void => {
      current.bytes += bytes;
      current.pieces += 1;
    };
    const current: CurrentFile = {
      name,
      meta,
      db,
      writes: fileWrites(db, nextId, stored),
      bytes: sums?.bytes ?? 0,
      pieces: sums?.pieces ?? 0,
    };
    this.#current = current;
    return current;
  }

  #openNewest(): void {
    const readable: { readonly name: LogFileName; readonly meta: LogFileMeta; readonly lastId: number }[] = [];
    const unreadable: { readonly name: LogFileName; readonly error: Error }[] = [];
    for (const name of listLogFiles(this.#directory)) {
      try {
        // Left by a crash: rolled back by whoever may write.
        if (existsSync(`${name.path}-journal`)) openLogFile(name.path).close();
        readable.push({ name, ...inspect(name.path) });
      } catch (error) {
        if (!isDamage(error)) throw error;
        unreadable.push({ name, error: error as Error });
      }
    }
    readable.sort((a, b) => a.meta.firstId - b.meta.firstId);
    this.#lastId = Math.max(0, ...readable.map(({ lastId }) => lastId));
    // Where such a file stood, and how far its ids went, nobody knows: a new one stands behind all that may have been.
    for (const { name, error } of unreadable) {
      this.#lastId += idsOfDamagedFile;
      this.#replaceDamaged(name, name.day, this.#lastId + 1, error);
    }
    const newest = readable.at(-1);
    if (newest === undefined || unreadable.length > 0) return;
    const { name, meta } = newest;
    if (meta.sealed) return void this.#begin(meta.day, this.#firstIdAfter(meta), this.#marksOfNewest(name));
    try {
      const db = openLogFile(name.path);
      this.#use(name, meta, db);
      requireSound(db);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#lastId += idsOfDamagedFile;
      this.#replaceDamaged(name, meta.day, this.#lastId + 1, error as Error);
    }
  }

  /**
   * The marks of the file before it: what only the damaged one had is asked of the agents again. They send what they still
   * have, and count the rest. The new file is there before the old one goes, so that no moment has neither.
   */
  #replaceDamaged(name: LogFileName, day: string, firstId: number, error: Error): CurrentFile {
    if (this.#current?.name.path === name.path) this.close();
    const marks = this.#current === null ? this.#marksOfNewest(null, name) : marksOf(this.#current.db);
    const before = this.#current;
    const next = this.#begin(day, firstId, marks);
    before?.db.close();
    this.#onDamage({ file: setAside(name.path), message: error.message });
    return next;
  }

  /** The marks in the newest file that can be read, or in `which`. */
  #marksOfNewest(which: LogFileName | null, except?: LogFileName): Mark[] {
    const names = which === null ? listLogFiles(this.#directory).filter(({ path }) => path !== except?.path) : [which];
    let newest: { readonly firstId: number; readonly marks: Mark[] } = { firstId: 0, marks: [] };
    for (const { path } of names) {
      try {
        const { meta, marks } = marksAndMeta(path);
        if (meta.firstId > newest.firstId) newest = { firstId: meta.firstId, marks };
      } catch (error) {
        if (!isDamage(error)) throw error;
      }
    }
    return newest.marks;
  }
}

/** A file that was sealed just before a crash may still be there in its old form. */
function removeReplaced(directory: string): void {
  for (const { day, part, sealed } of listLogFiles(directory)) if (sealed) removeLogFile(logFileName(directory, day, part).path);
}

/** What SQLite had beside a file that retention removed just before a crash. */
function removeOrphans(directory: string): void {
  for (const name of readdirSync(directory)) {
    const [, file] = /^(.+\.db)-(?:wal|shm|journal)$/.exec(name) ?? [];
    if (file !== undefined && !existsSync(join(directory, file))) rmSync(join(directory, name));
  }
}

function inspect(path: string): { readonly meta: LogFileMeta; readonly lastId: number } {
  const db = openLogFileForReading(path);
  try {
    const meta = readMeta(db);
    return { meta, lastId: lastIdIn(db, meta) };
  } finally {
    db.close();
  }
}

function marksAndMeta(path: string): { readonly meta: LogFileMeta; readonly marks: Mark[] } {
  const db = openLogFileForReading(path);
  try {
    return { meta: readMeta(db), marks: [...marksOf(db)] };
  } finally {
    db.close();
  }
}

/** The tables that every commit needs; a body that is damaged is found when it is read. */
function requireSound(db: Database): void {
  for (const table of ['meta', 'marks', 'streams', 'blocks']) {
    const found = String(db.pragma(`quick_check(${table})`, { simple: true }));
    if (found !== 'ok') throw Object.assign(new Error(`${table}: ${found}`), { code: 'SQLITE_CORRUPT' });
  }
}
