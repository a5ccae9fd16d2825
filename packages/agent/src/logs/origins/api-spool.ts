/**
 * What the engine says through its API has no offset in any file, so it is written into one of ours, in the form of the engine's
 * json-file and rotated as that one is: then everything that follows, cuts and sends the one does so with the other. Where reading
 * goes on is read from the end of what is written.
 */
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { Cursor, windowMs } from './cursor.ts';
import type { Entry } from './engine-lines.ts';

const fileBytesMax = 8 * 1024 * 1024;
/** With the current one. What was not sent by then is lost but for what the descriptors of the follower hold. */
const filesMax = 8;
/** Of the end, for the cursor: two seconds of a flood. */
const tailBytesMax = 16 * 1024 * 1024;

const entrySchema = z.object({ log: z.string(), stream: z.enum(['stdout', 'stderr']), time: z.string() });

export class ApiSpool {
  readonly path: string;
  #fd: number;
  #size: number;
  #dirty = false;
  #syncing = false;

  /** Throws errno errors. */
  constructor(path: string) {
    this.path = path;
    fs.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#fd = openForAppend(path);
    this.#size = this.#withoutTornLine();
  }

  /** `earlier`: the spool that this one goes on with, when it says nothing itself. */
  cursor(earlier: string | null): Cursor {
    // A file that was begun a moment ago says little: the one before it says the rest.
    const paths = [`${this.path}.1`, this.path];
    const entries = paths.flatMap((path) => readEntries(path, tailBytesMax));
    return new Cursor(entries.length > 0 || earlier === null ? entries : readEntries(earlier, tailBytesMax));
  }

  /** Throws errno errors, with a line torn at most, which the next opening removes. */
  append(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const bytes = Buffer.from(entries.map(({ log, stream, time }) => `${JSON.stringify({ log, stream, time })}\n`).join(''));
    for (let written = 0; written < bytes.length;) written += fs.writeSync(this.#fd, bytes, written);
    this.#size += bytes.length;
    this.#dirty = true;
    if (this.#size >= fileBytesMax) this.#rotate();
  }

  /**
   * What comes now does not follow on what is there. The file is made anew, without a trace of the old one under any name: that
   * is how the follower knows a hole of unknown size. What it has not read yet it holds open.
   */
  breakOff(): void {
    fs.closeSync(this.#fd);
    for (let number = 1; number < filesMax; number += 1) fs.rmSync(`${this.path}.${number}`, { force: true });
    fs.rmSync(this.path, { force: true });
    this.#fd = openForAppend(this.path);
    this.#size = 0;
  }

  /** After a power loss what was not synced comes once more from the engine, in the spool of the next boot; this keeps it at a second. */
  sync(): void {
    if (!this.#dirty || this.#syncing) return;
    this.#dirty = false;
    this.#syncing = true;
    fs.fdatasync(this.#fd, () => (this.#syncing = false));
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  #rotate(): void {
    fs.closeSync(this.#fd);
    for (let number = filesMax - 1; number > 0; number -= 1) {
      const from = number === 1 ? this.path : `${this.path}.${number - 1}`;
      if (fs.existsSync(from)) fs.renameSync(from, `${this.path}.${number}`);
    }
    this.#fd = openForAppend(this.path);
    this.#size = 0;
  }

  /** Of a crash in the middle of a write. Returns the size. */
  #withoutTornLine(): number {
    const { size } = fs.fstatSync(this.#fd);
    for (let end = size; end > 0;) {
      const from = Math.max(0, end - 64 * 1024);
      const buffer = Buffer.alloc(end - from);
      fs.readSync(this.#fd, buffer, 0, buffer.length, from);
      const newline = buffer.lastIndexOf(10);
      if (newline >= 0) {
        const whole = from + newline + 1;
        if (whole < size) fs.ftruncateSync(this.#fd, whole);
        return whole;
      }
      end = from;
    }
    if (size > 0) fs.ftruncateSync(this.#fd, 0);
    return 0;
  }
}

/** With everything it was rotated into. */
export function removeSpool(path: string): void {
  for (const name of fs.readdirSync(dirname(path))) {
    if (name === basename(path) || name.startsWith(`${basename(path)}.`)) fs.rmSync(join(dirname(path), name), { force: true });
  }
}

function openForAppend(path: string): number {
  const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = fs.constants;
  return fs.openSync(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
}

/** The newest entries of a file, in order: enough for a cursor. What is no entry is left out. */
function readEntries(path: string, bytesMax: number): readonly Entry[] {
  let bytes: Buffer;
  try {
    const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    try {
      const { size } = fs.fstatSync(fd);
      const length = Math.min(size, bytesMax);
      bytes = Buffer.alloc(length);
      fs.readSync(fd, bytes, 0, length, size - length);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const entries: Entry[] = [];
  let newest = Number.NaN;
  for (let end = bytes.length; end > 0;) {
    const start = bytes.lastIndexOf(10, end - 2) + 1;
    const entry = parseEntry(bytes.toString('utf8', start, end));
    end = start;
    if (entry === null) continue;
    const at = Date.parse(entry.time);
    if (Number.isNaN(newest)) newest = at;
    // Times need not be in order, but are nearly.
    if (newest - at > 2 * windowMs) break;
    entries.push(entry);
  }
  return entries.toReversed();
}

function parseEntry(text: string): Entry | null {
  try {
    const parsed = entrySchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
