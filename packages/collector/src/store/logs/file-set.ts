/** The log files that are there, in the order of their ids, each open on a read-only connection. */
import type { Database } from 'better-sqlite3';
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { fileReads, type FileReads } from './file-reads.ts';
import { listDamagedLogFiles, listLogFiles, type LogFileName } from './file-names.ts';
import { openLogFileForReading } from './log-file.ts';
import { isDamage, readMeta, type LogFileMeta } from './schema.ts';

export interface OpenLogFile {
  readonly name: LogFileName;
  readonly meta: LogFileMeta;
  readonly reads: FileReads;
  readonly db: Database;
  /** While it is open no other file has it, whatever takes its name. */
  readonly inode: number;
  /** Bounds of the times of its lines; of a sealed file, once they were asked for. */
  times?: { readonly first: number; readonly last: number } | null;
}

/** A directory's time of change has the grain of the kernel's clock: what changed just now may change again unseen. */
const grainMs = 100;
/** A file may be sealed between the look at the directory and its opening; the next look finds the other. */
const looksMax = 5;

export class FileSet {
  readonly #directory: string;
  readonly #onDamage: (file: string, error: Error) => void;
  readonly #open = new Map<string, OpenLogFile>();
  readonly #broken = new Set<string>();
  /** By name; by whomever, perhaps long before this process. */
  #setAside: readonly string[] = [];
  #seenMs: number | null = null;
  #ascending: readonly OpenLogFile[] = [];

  constructor(directory: string, onDamage: (file: string, error: Error) => void) {
    this.#directory = directory;
    this.#onDamage = onDamage;
  }

  ascending(): readonly OpenLogFile[] {
    const changedMs = statSync(this.#directory, { throwIfNoEntry: false })?.mtimeMs ?? null;
    if (changedMs === this.#seenMs && changedMs !== null) return this.#ascending;
    for (let look = 1; !this.#look(); look += 1) {
      if (look === looksMax) throw new Error(`${this.#directory}: its files change faster than they can be opened`);
    }
    this.#seenMs = changedMs !== null && Date.now() - changedMs > grainMs ? changedMs : null;
    return this.#ascending;
  }

  /** It is left out from now on. */
  damaged({ name, db }: OpenLogFile, error: Error): void {
    this.#forget(name.path, error);
    this.#open.delete(name.path);
    this.#ascending = this.#ascending.filter((file) => file.name.path !== name.path);
    db.close();
  }

  /** As of the last look. */
  brokenNames(): string[] {
    return [...new Set([...Array.from(this.#broken, (path) => basename(path)), ...this.#setAside])];
  }

  close(): void {
    for (const { db } of this.#open.values()) db.close();
    this.#open.clear();
    this.#ascending = [];
    this.#seenMs = null;
  }

  /** False: one of them was gone before it could be opened. */
  #look(): boolean {
    const names = listLogFiles(this.#directory);
    this.#setAside = listDamagedLogFiles(this.#directory);
    const paths = new Set(names.map(({ path }) => path));
    for (const [path, { db, inode }] of this.#open) {
      if (paths.has(path) && statSync(path, { throwIfNoEntry: false })?.ino === inode) continue;
      db.close();
      this.#open.delete(path);
    }
    for (const path of this.#broken) if (!paths.has(path)) this.#broken.delete(path);
    const complete = names.every((name) => this.#open.has(name.path) || this.#broken.has(name.path) || this.#tryOpen(name));
    this.#ascending = [...this.#open.values()].toSorted((a, b) => a.meta.firstId - b.meta.firstId);
    return complete;
  }

  #tryOpen(name: LogFileName): boolean {
    let db: Database | undefined;
    try {
      db = openLogFileForReading(name.path);
      const meta = readMeta(db);
      const { ino: inode } = statSync(name.path);
      this.#open.set(name.path, { name, meta, db, inode, reads: fileReads(db, meta) });
      return true;
    } catch (error) {
      db?.close();
      if (isDamage(error)) {
        this.#forget(name.path, error as Error);
        return true;
      }
      if (statSync(name.path, { throwIfNoEntry: false }) !== undefined) throw error;
      return false;
    }
  }

  #forget(path: string, error: Error): void {
    this.#broken.add(path);
    this.#onDamage(path, error);
  }
}
