/** A copy of everything, made while the service runs. Each file of it is one moment of that file, and complete. */
import { RelightError, errorMessage } from '@relight/shared/errors';
import SqliteDatabase from 'better-sqlite3';
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { publicUrlFile } from '../access/public-url.ts';
import { ownTlsFiles } from '../access/tls-files.ts';
import { databasePath, makeDirectory } from './database.ts';
import { listLogFiles, logDirectory, logFileName, type LogFileName } from './logs/file-names.ts';
import { openLogFileForReading } from './logs/log-file.ts';
import { isDamage } from './logs/schema.ts';

export interface BackupResult {
  readonly files: number;
  readonly bytes: number;
}

/**
 * Copies the data directory to `target`, which appears when all of it is there and on disk.
 * @throws RelightError `usage` (there is something at `target`), `store-failed` (not readable, or no room).
 */
export function backupStore(dataDir: string, target: string): BackupResult {
  const place = resolve(target);
  const inTheWay = occupied(place);
  if (inTheWay !== null) {
    throw new RelightError('usage', `${target} ${inTheWay}`, {
      advice: 'Give a directory that does not exist yet: each backup is one of its own.',
    });
  }
  const made = `${place}.unfinished`;
  try {
    rmSync(made, { recursive: true, force: true });
    makeDirectory(join(made, 'logs'));
    chmodSync(made, 0o700);
    const copies = [copyLive(databasePath(dataDir), made)];
    for (const name of listLogFiles(logDirectory(dataDir))) copies.push(...copyLog(name, join(made, 'logs')));
    copies.push(...copyUrl(dataDir, made));
    const directories = [join(made, 'logs'), ...(copyTls(dataDir, made, copies) ? [join(made, 'tls')] : []), made];
    for (const path of [...copies, ...directories]) sync(path);
    if (existsSync(place)) rmSync(place, { recursive: true });
    renameSync(made, place);
    sync(dirname(place));
    const bytes = copies.reduce((sum, path) => sum + statSync(path.replace(made, place)).size, 0);
    return { files: copies.length, bytes };
  } catch (cause) {
    rmSync(made, { recursive: true, force: true });
    if (cause instanceof RelightError) throw cause;
    throw new RelightError('store-failed', `${dataDir} cannot be copied to ${target}: ${errorMessage(cause)}`, { cause });
  }
}

/** Null: nothing is there that would be lost. */
function occupied(path: string): string | null {
  if (!existsSync(path)) return null;
  if (!statSync(path).isDirectory()) return 'is no directory';
  return readdirSync(path).length === 0 ? null : 'is not empty';
}

/** What `relight-collector init` has made: agents know the collector by this key. False: there is none. */
function copyTls(dataDir: string, directory: string, copies: string[]): boolean {
  const { keyFile, certFile, madeMark } = ownTlsFiles(dataDir);
  const there = [keyFile, certFile].filter((file) => existsSync(file));
  for (const file of there) {
    const copy = join(directory, 'tls', basename(file));
    mkdirSync(dirname(copy), { recursive: true, mode: 0o700 });
    writeFileSync(copy, readFileSync(file), { mode: file === keyFile ? 0o600 : 0o644 });
    copies.push(copy);
  }
  // Of a collector that has lost both, it keeps what is restored from going on as plain HTTP.
  if (existsSync(madeMark)) {
    const copy = join(directory, basename(madeMark));
    writeFileSync(copy, readFileSync(madeMark), { mode: 0o644 });
    copies.push(copy);
  }
  return there.length > 0;
}

/** How hosts reach it: the lines that join them are made of that. */
function copyUrl(dataDir: string, directory: string): string[] {
  const file = publicUrlFile(dataDir);
  if (!existsSync(file)) return [];
  const copy = join(directory, basename(file));
  writeFileSync(copy, readFileSync(file), { mode: 0o644 });
  return [copy];
}

/** One moment of a database that is written to meanwhile, with what its write-ahead log holds, and without holes. */
function copyLive(path: string, directory: string): string {
  const copy = join(directory, basename(path));
  const db = new SqliteDatabase(path, { readonly: true, fileMustExist: true, timeout: 10_000 });
  try {
    db.prepare('VACUUM INTO ?').run(copy);
  } finally {
    db.close();
  }
  chmodSync(copy, 0o600);
  return copy;
}

/**
 * VACUUM reads every row and refuses a file with one damaged page. One that is damaged loses itself, not every backup from then
 * on: page by page, as it is, the rest of it can be read from the copy as well.
 */
function copyLogLive(path: string, directory: string): string {
  const copy = join(directory, basename(path));
  try {
    return copyLive(path, directory);
  } catch (error) {
    if (!isDamage(error)) throw error;
    rmSync(copy, { force: true });
  }
  try {
    const db = openLogFileForReading(path);
    try {
      writeFileSync(copy, db.serialize(), { mode: 0o600 });
    } finally {
      db.close();
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    // Not even its first page can be read.
    copyFileSync(path, copy);
  }
  return copy;
}

/** A sealed file never changes. One that is sealed this moment is taken in its new form; one that retention removed is not there. */
function copyLog(name: LogFileName, directory: string): string[] {
  try {
    if (!name.sealed) return [copyLogLive(name.path, directory)];
    const copy = join(directory, name.name);
    copyFileSync(name.path, copy, constants.COPYFILE_FICLONE);
    return [copy];
  } catch (error) {
    if (existsSync(name.path)) throw error;
    rmSync(join(directory, name.name), { force: true });
    const sealed = logFileName(dirname(name.path), name.day, name.part, true);
    return !name.sealed && existsSync(sealed.path) ? copyLog(sealed, directory) : [];
  }
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}
