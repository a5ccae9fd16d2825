/**
 * A process of ours that can lose its power: it runs with `power-shim.c`, is killed with -9, and then what it wrote below its directory
 * without an fsync behind it is undone. Its wall clock can be moved as well.
 */
import { closeSync, existsSync, ftruncateSync, fstatSync, linkSync, lstatSync, mkdirSync, openSync } from 'node:fs';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ServiceOptions } from '../service.ts';
import { powerShim } from './compile.ts';

interface PowerOptions {
  /** What it writes here is undone. */
  readonly root: string;
  /** For journal and clock; on a disk that does not fill up. */
  readonly directory: string;
  /** Entries of `root` that others write, too. */
  readonly except?: readonly string[];
}

interface PowerLoss {
  /** 0…1: how much of what was not synced is on the disk all the same, the earliest first. */
  readonly kept: number;
  /** What was appended is there as NUL bytes: some file systems have the new size on disk before the bytes. */
  readonly zeros: boolean;
  /** Every new name, rename and removal is on the disk, what was written may not be: a journal is written before the data. Default false. */
  readonly namesStay?: boolean;
}

/** In the root itself, because it needs names on the same disk. */
const stashName = '.power-stash';
const headerBytes = 56;
const operations = { write: 1, create: 2, rename: 3, unlink: 4, mkdir: 5, rmdir: 6, sync: 7 };
const magic = 0x52574f50;

interface Change {
  readonly op: number;
  readonly sequence: bigint;
  readonly inode: bigint;
  readonly other: bigint;
  readonly offset: bigint;
  readonly size: bigint;
  readonly path: string;
  readonly path2: string;
  readonly old: Buffer;
}

export class Power {
  readonly #options: PowerOptions;
  readonly #shim: string;

  static async over(options: PowerOptions): Promise<Power> {
    return new Power(options, await powerShim());
  }

  private constructor(options: PowerOptions, shim: string) {
    this.#options = options;
    this.#shim = shim;
    mkdirSync(join(options.root, stashName), { recursive: true });
    mkdirSync(options.directory, { recursive: true });
    this.moveClock(0);
  }

  get through(): NonNullable<ServiceOptions['through']> {
    const { except = [], root } = this.#options;
    return [
      'env',
      `LD_PRELOAD=${this.#shim}`,
      `POWER_ROOT=${root}`,
      `POWER_JOURNAL=${this.#journal}`,
      `POWER_STASH=${this.#stash}`,
      `POWER_EXCEPT=${[stashName, ...except].join(':')}`,
      `POWER_CLOCK=${this.#clock}`,
    ];
  }

  /** So many milliseconds ahead of the machine; behind it when negative. At once, also while it runs. */
  moveClock(aheadMs: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(Math.round(aheadMs * 1_000_000)));
    const fd = openSync(this.#clock, existsSync(this.#clock) ? 'r+' : 'w');
    writeSync(fd, bytes, 0, 8, 0);
    closeSync(fd);
  }

  /** It was killed, and everything is on the disk: what happened before cannot be lost any more. */
  settle(): void {
    for (const journal of this.#journals()) rmSync(journal);
    for (const name of readdirSync(this.#stash)) rmSync(join(this.#stash, name));
  }

  /** It was killed a moment ago. Returns how many changes were undone. */
  lose({ kept, zeros, namesStay = false }: PowerLoss): number {
    const changes = this.#journals().flatMap((path, life) => readChanges(readFileSync(path), BigInt(life) << 48n));
    const unsynced = unsyncedOf(changes).filter(({ op }) => op === operations.write || !namesStay);
    const undone = unsynced.slice(Math.floor(unsynced.length * kept)).toReversed();
    const { root } = this.#options;
    const files = new Map<bigint, number>();
    for (const path of filesIn(root)) {
      const fd = openSync(path, 'r+');
      files.set(BigInt(fstatSync(fd).ino), fd);
    }
    for (const change of undone) {
      if (change.op === operations.write) undoWrite(files.get(change.inode), change, zeros);
      else undoName(change);
    }
    for (const fd of files.values()) closeSync(fd);
    // Memory, which is gone as well.
    for (const path of filesIn(root)) if (path.endsWith('-shm')) rmSync(path);
    this.settle();
    return undone.length;
  }

  get #journal(): string {
    return join(this.#options.directory, 'journal');
  }

  /** Of the lives since the last loss, the oldest first. */
  #journals(): string[] {
    const { directory } = this.#options;
    const names = readdirSync(directory).filter((name) => name.startsWith('journal.'));
    return names.toSorted().map((name) => join(directory, name));
  }

  get #clock(): string {
    return join(this.#options.directory, 'clock');
  }

  get #stash(): string {
    return join(this.#options.root, stashName);
  }
}

/** `base`: what comes before, in the row of all changes. */
function readChanges(journal: Buffer, base: bigint): Change[] {
  const changes: Change[] = [];
  for (let at = 0; at + headerBytes <= journal.length;) {
    if (journal.readUInt32LE(at) !== magic) throw new Error(`the journal of changes is broken at ${at}`);
    const [length, first, second] = [journal.readUInt32LE(at + 48), journal.readUInt16LE(at + 52), journal.readUInt16LE(at + 54)];
    const end = at + headerBytes + first + second + length;
    // Killed while it wrote this down: then it had not done it yet.
    if (end > journal.length) break;
    const text = (from: number, size: number): string => journal.toString('utf8', from, from + size);
    const op = journal.readUInt32LE(at + 4);
    const offset = journal.readBigUInt64LE(at + 32);
    changes.push({
      op,
      sequence: base + journal.readBigUInt64LE(at + 8),
      inode: journal.readBigUInt64LE(at + 16),
      other: journal.readBigUInt64LE(at + 24),
      offset: op === operations.sync ? base + offset : offset,
      size: journal.readBigUInt64LE(at + 40),
      path: text(at + headerBytes, first),
      path2: text(at + headerBytes + first, second),
      old: journal.subarray(end - length, end),
    });
    at = end;
  }
  return changes;
}

function unsyncedOf(changes: readonly Change[]): Change[] {
  const synced = new Map<bigint, bigint>();
  for (const { op, inode, offset } of changes) {
    if (op === operations.sync && offset > (synced.get(inode) ?? 0n)) synced.set(inode, offset);
  }
  return changes.filter(({ op, sequence, inode, other }) => {
    if (op === operations.sync) return false;
    const isSynced = (of: bigint): boolean => (synced.get(of) ?? 0n) >= sequence;
    return !(isSynced(inode) && (op !== operations.rename || isSynced(other)));
  });
}

function undoWrite(fd: number | undefined, { offset, old, size }: Change, zeros: boolean): void {
  if (fd === undefined) return;
  const now = fstatSync(fd).size;
  const before = Number(size);
  if (now > before && zeros) writeSync(fd, Buffer.alloc(now - before), 0, now - before, before);
  else if (now > before) ftruncateSync(fd, before);
  if (old.length > 0) writeSync(fd, old, 0, old.length, Number(offset));
  if (fstatSync(fd).size < before) ftruncateSync(fd, before);
}

function undoName({ old, op, path, path2 }: Change): void {
  const kept = old.toString('utf8');
  if (op === operations.create || op === operations.mkdir) rmSync(path, { recursive: true, force: true });
  else if (op === operations.rmdir) mkdirSync(path, { recursive: true });
  else {
    if (op === operations.rename && lstatSync(path2, { throwIfNoEntry: false }) !== undefined) renameSync(path2, path);
    const lost = op === operations.rename ? path2 : path;
    // A socket gets its name by bind(2), which nothing writes down: what was there before it comes back in its place.
    if (kept !== '' && lstatSync(lost, { throwIfNoEntry: false })?.isSocket()) rmSync(lost);
    if (kept !== '') linkSync(kept, lost);
  }
}

/** Regular files, with those that only the stash still has. */
function filesIn(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Leaves a file of a process that was killed without its end, perhaps with something else there; returns what it did. */
export function tear(directories: readonly string[], choose: (limit: number) => number): string {
  const files = directories.flatMap(filesIn);
  const path = files[choose(files.length)];
  if (path === undefined) return 'nothing';
  const bytes = readFileSync(path);
  const left = bytes.subarray(0, choose(bytes.length + 1));
  const garbage = Buffer.from(Array.from({ length: choose(2) * choose(40) }, () => choose(256)));
  writeFileSync(path, Buffer.concat([left, garbage]));
  return `${basename(path)} cut from ${bytes.length} to ${left.length} bytes, then ${garbage.length} of garbage`;
}
