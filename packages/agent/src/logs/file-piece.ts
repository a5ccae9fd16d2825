/** One file behind a segment: opened, and known again by its inode and its first bytes. */
import * as fs from 'node:fs';
import { basename, dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { openHeld } from '../stages/held-file.ts';

export interface Piece {
  readonly fd: number;
  readonly inode: number;
  readonly base: number;
  size: number;
  /** Bytes on the disk: fewer than `size` where some were freed. */
  allocated: number;
  mtimeMs: number;
  /** Nothing is written to it any more. */
  final: boolean;
  unlinked: boolean;
  head: { bytes: number; crc: number };
}

/** An incarnation as it is remembered over a restart of the agent. Inode numbers are reused, so the first bytes are compared too. */
export interface SavedPiece {
  readonly inode: number;
  readonly base: number;
  readonly headBytes: number;
  readonly headCrc: number;
}

export const headBytesMax = 256;
const liveDescriptor = /^\/proc\/\d+\/fd\/\d+$/;

/** All files of a rotating log, oldest first: `x.log.2`, `x.log.1`, `x.log`. */
export function rotated(path: string): string[] {
  return [...numbersOf(path, '').map((number) => `${path}.${number}`), path];
}

/** Of the files `<path>.<number><ending>` that are there; the highest, which is the oldest file, first. */
export function numbersOf(path: string, ending: string): number[] {
  const name = basename(path);
  const numbers = readDirectory(dirname(path)).flatMap((entry) => {
    if (!entry.startsWith(`${name}.`) || !entry.endsWith(ending)) return [];
    const number = entry.slice(name.length + 1, entry.length - ending.length);
    return /^\d{1,4}$/.test(number) ? [Number(number)] : [];
  });
  return numbers.toSorted((a, b) => b - a);
}

function readDirectory(path: string): string[] {
  try {
    return fs.readdirSync(path);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

export function openPiece(path: string): Piece | null {
  const fd = openFile(path);
  return fd === null ? null : pieceOf(fd, path);
}

/** Those of the files that are there, in their order; none of them stays open when one throws. `except`: the inode of one that is open already. */
export function openAll(paths: readonly string[], except: number | null = null): Piece[] {
  const opened: Piece[] = [];
  for (const path of paths) {
    const piece = orClose(opened, () => openPiece(path));
    if (piece === null) continue;
    if (piece.inode === except) fs.closeSync(piece.fd);
    else opened.push(piece);
  }
  return opened;
}

/** A look that fails comes again every second: what it has opened must not stay open each time. */
export function orClose<T>(opened: readonly Piece[], work: () => T): T {
  try {
    return work();
  } catch (error) {
    for (const { fd } of opened) fs.closeSync(fd);
    throw error;
  }
}

function openFile(path: string): number | null {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  try {
    // The descriptor of a live process is a link by nature.
    return liveDescriptor.test(path) ? openHeld(path) : fs.openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

/** Closes `fd` when it throws: for what cannot be read, and for what is no regular file. */
export function pieceOf(fd: number, path: string): Piece {
  try {
    const stats = fs.fstatSync(fd);
    if (!stats.isFile()) throw new Error(`${path} is not a regular file`);
    const { blocks, ino, size, mtimeMs, nlink } = stats;
    return { fd, inode: ino, base: 0, size, allocated: blocks * 512, mtimeMs, final: false, unlinked: nlink === 0, head: head(fd, size) };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** Of descriptors that are open already: all of them, or all are closed when one throws. */
export function piecesOf(fds: readonly number[], path: string): Piece[] {
  const pieces: Piece[] = [];
  for (const [index, fd] of fds.entries()) {
    try {
      pieces.push(pieceOf(fd, path));
    } catch (error) {
      for (const open of [...pieces.map((piece) => piece.fd), ...fds.slice(index + 1)]) fs.closeSync(open);
      throw error;
    }
  }
  return pieces;
}

export function inodeOf(path: string): number | null {
  return fs.lstatSync(path, { throwIfNoEntry: false })?.ino ?? null;
}

export function head(fd: number, size: number): { bytes: number; crc: number } {
  const bytes = Math.min(headBytesMax, size);
  return { bytes, crc: headCrc(fd, bytes) };
}

export function headCrc(fd: number, bytes: number): number {
  const buffer = Buffer.alloc(bytes);
  return crc32(buffer.subarray(0, fs.readSync(fd, buffer, 0, bytes, 0)));
}

const isAbsent = (error: unknown): boolean => ['ENOENT', 'ENOTDIR', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '');
