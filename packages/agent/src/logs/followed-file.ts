/**
 * The file behind a segment as one row of bytes, over rotation by renaming and over truncation. Each incarnation (inode) is a
 * piece [base, base + size) of the segment's offsets; an old piece is read to its end through the descriptor that was
 * opened when it was new, wherever it has been renamed to. Between two pieces there may be a hole: bytes nobody can read.
 */
import * as fs from 'node:fs';
import { compressedFiles, compressedFrom, Unpacking } from './compressed-logs.ts';
import { carriageReturn, newline } from './cut-line.ts';
import { head, headBytesMax, headCrc, inodeOf, openAll, openPiece, orClose, pieceOf, piecesOf, rotated } from './file-piece.ts';
import type { Piece, SavedPiece } from './file-piece.ts';
import type { SegmentFile } from './log-shipper.ts';

interface Awaited {
  readonly older: Unpacking;
  /** Where the first of the older ones begins. */
  readonly base: number;
  readonly newer: readonly Piece[];
}

export interface Hole {
  readonly to: number;
  /** False: how much was lost cannot be known. */
  readonly measured: boolean;
}

export class FollowedFile {
  #path: string;
  #foreign: SegmentFile['foreign'];
  readonly rotates: boolean;
  #saved: readonly SavedPiece[];
  #pieces: Piece[] = [];
  /** Ends of holes whose size is a guess. */
  readonly #unmeasured = new Set<number>();
  #certain = true;
  #incarnations = 0;
  #emptying = false;
  /** It was let go of, and ended here. */
  #gone: number | null = null;
  readonly #unpackInto: string | null;
  /** While older files are unpacked, and when they could not be, until it goes on without them. */
  #awaited: Awaited | null = null;
  /** They could not be. */
  #unpackable = true;

  /** One that `rotates` may be renamed to `<path>.1` and so on, and made anew. `unpackInto`: a directory; null: what is compressed is a hole. */
  constructor(
    { path, format, foreign, rotates = format === 'json-file' }: Omit<SegmentFile, 'key'>,
    saved: readonly SavedPiece[],
    unpackInto: string | null = null,
  ) {
    this.#path = path;
    this.#foreign = foreign;
    this.rotates = rotates;
    this.#saved = saved;
    this.#unpackInto = unpackInto;
  }

  get opened(): boolean {
    return this.#pieces.length > 0;
  }

  /** What is there cannot be told yet: older files are being unpacked. */
  get pending(): boolean {
    return this.#awaited !== null;
  }

  /** Another number: files have come or gone, or can be told apart better. */
  get incarnations(): number {
    return this.#incarnations;
  }

  /** Offset behind the last byte that is known to exist. */
  get end(): number {
    const last = this.#pieces.at(-1);
    return last === undefined ? (this.#gone ?? 0) : last.base + last.size;
  }

  get mtimeMs(): number {
    return this.#pieces.at(-1)?.mtimeMs ?? 0;
  }

  /** A descriptor for punching holes; only files that do not rotate have one. */
  get descriptor(): number | null {
    return this.rotates || this.#foreign !== undefined ? null : (this.#pieces[0]?.fd ?? null);
  }

  /**
   * What is watched for growth: what is open, for a name that a container can lead elsewhere may end on a file system that never answers.
   * Of one that rotates its name, which the engine keeps: the newest file has it.
   */
  get watched(): string {
    const piece = this.#pieces.at(-1);
    return this.rotates || piece === undefined ? this.#path : `/proc/self/fd/${piece.fd}`;
  }

  /** What it takes of the disk. */
  get allocatedBytes(): number {
    return this.#pieces.reduce((sum, { allocated }) => sum + allocated, 0);
  }

  /** Bytes from `offset` on that only our open descriptors keep on the disk. `finished`: nobody writes to the newest file either. */
  heldBytes(offset: number, finished: boolean): number {
    return this.#held(finished).reduce((sum, piece) => sum + Math.max(0, piece.base + piece.size - Math.max(offset, piece.base)), 0);
  }

  /** Offset behind the bytes that only our open descriptors keep on the disk. */
  heldEnd(finished: boolean): number {
    const held = this.#held(finished).at(-1);
    return held === undefined ? 0 : held.base + held.size;
  }

  /** No name leads to it any more. */
  get unlinked(): boolean {
    return this.#pieces.at(-1)?.unlinked === true;
  }

  #held(finished: boolean): readonly Piece[] {
    return this.#pieces.filter((piece) => {
      if (!piece.final && !finished) return false;
      // What nobody writes to is not looked at otherwise.
      piece.unlinked ||= fs.fstatSync(piece.fd).nlink === 0;
      return piece.unlinked;
    });
  }

  /** By us, behind what is delivered. */
  get #mayBeFreed(): boolean {
    return !this.rotates && this.#foreign === undefined;
  }

  /** Offset of the first byte that has a place on the disk, holes apart. */
  get begin(): number {
    return this.#pieces[0]?.base ?? 0;
  }

  /**
   * Empties a file of our own; its offsets go on behind what was in it. Writers append, so they go on at its beginning. Where
   * there may still be one, what it wrote in this very moment is lost, and a hole of unknown size says so. Between
   * `willEmpty` and this, `saved` is to be stored: it tells afterwards on which side of the moment the agent died.
   */
  empty(written: boolean): void {
    const piece = this.#pieces.at(-1);
    if (piece === undefined || !this.#mayBeFreed) return;
    this.#measure(piece);
    const base = this.end + (written ? 1 : 0);
    fs.truncateSync(`/proc/self/fd/${piece.fd}`, 0);
    if (written) this.#unmeasured.add(base);
    this.#pieces = [{ ...piece, base, size: 0, head: head(piece.fd, 0) }];
    this.#emptying = false;
    this.#incarnations += 1;
  }

  willEmpty(): void {
    const piece = this.#pieces.at(-1);
    if (piece === undefined || !this.#mayBeFreed) return;
    piece.head = head(piece.fd, piece.size);
    this.#emptying = true;
  }

  saved(): SavedPiece[] {
    // What is a guess until the collector has spoken must not be taken for knowledge by the next life.
    if (!this.opened || !this.#certain) return [...this.#saved];
    const [only] = this.#pieces;
    if (only !== undefined && this.#emptying) {
      const { inode, base, head: before } = only;
      const full = { inode, base, headBytes: before.bytes, headCrc: before.crc };
      return [full, { inode, base: this.end + 1, headBytes: 0, headCrc: 0 }];
    }
    // The beginning of a run's file may be freed, and then reads as NUL bytes.
    return this.#pieces.map(({ inode, base, head }) => ({
      inode,
      base,
      headBytes: this.#mayBeFreed ? 0 : head.bytes,
      headCrc: this.#mayBeFreed ? 0 : head.crc,
    }));
  }

  /**
   * Looks at the file: opens what is new, notices growth, rotation and truncation. `committed` is where a file that was
   * never seen before begins to be of interest. Throws errno errors other than "not there", and for what is no regular file.
   */
  refresh(committed: number): void {
    if (this.#gone !== null) return;
    if (!this.opened) this.#discover(committed);
    const current = this.#pieces.at(-1);
    if (current === undefined) return;
    this.#measure(current);
    if (this.rotates) this.#followRotation(current);
  }

  /** At most `max` bytes at `offset`; empty when there are none (yet). */
  read(offset: number, max: number): Buffer {
    const piece = this.#pieces.find((candidate) => offset >= candidate.base && offset < candidate.base + candidate.size);
    if (piece === undefined) return Buffer.alloc(0);
    const buffer = Buffer.allocUnsafeSlow(Math.min(max, piece.base + piece.size - offset));
    return buffer.subarray(0, fs.readSync(piece.fd, buffer, 0, buffer.length, offset - piece.base));
  }

  /** A line begins at `offset`, as far as can be told; false: in the middle of one, or what comes before it is gone. */
  beginsLine(offset: number): boolean {
    const piece = this.#pieces.find(({ base, size }) => offset >= base && offset < base + size);
    if (piece === undefined || offset === 0) return true;
    // One that was emptied had a writer, who may have been in the middle of a line.
    if (offset === piece.base) return !this.#mayBeFreed;
    const before = Buffer.alloc(1);
    return fs.readSync(piece.fd, before, 0, 1, offset - piece.base - 1) === 1 && (before[0] === newline || before[0] === carriageReturn);
  }

  /** The hole that begins at `offset`, or null. */
  holeAt(offset: number): Hole | null {
    const next = this.#pieces.find((piece) => offset < piece.base + piece.size);
    return next !== undefined && offset < next.base ? { to: next.base, measured: !this.#unmeasured.has(next.base) } : null;
  }

  /** What lies before `offset` is not needed any more. */
  release(offset: number): void {
    while (this.#pieces.length > 1 && (this.#pieces[0] as Piece).final && (this.#pieces[1] as Piece).base <= offset) {
      fs.closeSync((this.#pieces.shift() as Piece).fd);
    }
  }

  /** Nothing of it is wanted any more, and nothing keeps it on the disk. Offsets stay what they are; it ends at `end`. */
  letGo(end = this.end): void {
    this.#saved = this.saved();
    this.close();
    this.#gone = end;
  }

  /** Somebody writes again, also to what was let go of: it is where it is now, and opened by what opens it now. */
  takeUp({ path, foreign }: Pick<SegmentFile, 'path' | 'foreign'>): void {
    this.#path = path;
    this.#foreign = foreign;
    this.#gone = null;
  }

  /**
   * The collector has spoken. When rotated files were opened without any memory of their offsets, and the collector has
   * some of them, or has more than was remembered, only the newest file is followed, behind a hole of unknown size.
   */
  settle(committed: number): void {
    if (this.#certain) return;
    if (committed > 0 && committed >= this.begin) {
      // By its descriptor: its name may be gone.
      const newest = this.#pieces.pop();
      this.close();
      if (newest === undefined) this.refresh(committed);
      else this.#begin([newest], this.#baseBehind(committed));
    }
    this.#certain = true;
    this.#incarnations += 1;
  }

  close(): void {
    for (const piece of [...this.#pieces.splice(0), ...(this.#awaited?.newer ?? [])]) fs.closeSync(piece.fd);
    this.#awaited?.older.stop();
    this.#awaited = null;
  }

  #discover(committed: number): void {
    if (this.#awaited !== null && this.#unpackable) {
      if (!this.#awaited.older.running) this.#unpacked(this.#awaited);
      return;
    }
    const found = this.rotates ? openAll(rotated(this.#path)) : [this.#openOne() ?? []].flat();
    orClose(found, () => {
      this.#awaited = this.#unpackOlder(found, committed);
      if (this.#awaited === null) this.#beginWith(found, committed);
    });
  }

  /** Of what was not delivered, something may have been compressed since it was seen last. Null: nothing was. */
  #unpackOlder(newer: readonly Piece[], committed: number): Awaited | null {
    if (!this.rotates || this.#unpackInto === null || !this.#unpackable) return null;
    const wanted = this.#saved.filter((_, index) => (this.#saved[index + 1]?.base ?? Infinity) > committed);
    if (wanted.length === 0) return null;
    // What is compressed in this very moment is among the newer ones.
    const compressed = compressedFiles(this.#path).filter((path) => !newer.some((piece) => compressedFrom(path, piece.head)));
    for (const [index, path] of compressed.entries()) {
      const same = wanted.find(({ headBytes, headCrc: crc }) => compressedFrom(path, { bytes: headBytes, crc }));
      if (same !== undefined) return { older: new Unpacking(compressed.slice(index), this.#unpackInto), base: same.base, newer };
    }
    return null;
  }

  /** Throws why they could not be. The next look goes on without them; until then what is there is not known, also when all have ended. */
  #unpacked({ older, base, newer }: Awaited): void {
    try {
      const pieces = piecesOf(older.take(), this.#path);
      this.#begin([...pieces, ...newer], base);
      this.#awaited = null;
    } catch (error) {
      this.#unpackable = false;
      this.#awaited = { older, base, newer: [] };
      for (const { fd } of newer) fs.closeSync(fd);
      throw new Error(`${this.#path}: what was rotated and compressed cannot be read`, { cause: error });
    }
  }

  #begin(pieces: readonly Piece[], first: number): void {
    let base = first;
    for (const [index, piece] of pieces.entries()) {
      this.#pieces.push({ ...piece, base, final: index < pieces.length - 1 });
      base += piece.size;
    }
    if (this.#certain) this.#saved = [];
    this.#incarnations += 1;
  }

  #beginWith(found: readonly Piece[], committed: number): void {
    // All that reads comes first: what throws here leaves all of them to the caller.
    const bases = found.map((piece) => this.#known(piece, committed));
    const match = bases.findIndex((base) => base !== null);
    this.#certain = match >= 0 || (this.#saved.length === 0 && found.length <= 1);
    // Of several of which none is remembered the collector has some, and nobody knows which.
    const useful = found.slice(match < 0 && committed > 0 ? -1 : Math.max(match, 0));
    for (const piece of found) if (!useful.includes(piece)) fs.closeSync(piece.fd);
    const whole = this.#saved.length === 0 && useful.length === found.length;
    if (useful.length > 0) this.#begin(useful, bases[match] ?? (whole ? 0 : this.#baseBehind(committed)));
  }

  #openOne(): Piece | null {
    if (this.#foreign === undefined) return openPiece(this.#path);
    const fd = this.#foreign.open();
    return fd === null ? null : pieceOf(fd, this.#path);
  }

  /** Behind a hole of unknown size. */
  #baseBehind(committed: number): number {
    const base = Math.max(committed, ...this.#saved.map((piece) => piece.base)) + 1;
    this.#unmeasured.add(base);
    return base;
  }

  #known(piece: Piece, committed: number): number | null {
    const same = this.#saved.find(
      (saved) =>
        saved.inode === piece.inode &&
        saved.headBytes <= piece.size &&
        // Shorter than what was delivered: truncated while nobody looked, by its owner or just before the end of the agent.
        (this.rotates || (this.#mayBeFreed && saved.headBytes === 0) || saved.base + piece.size >= committed) &&
        headCrc(piece.fd, saved.headBytes) === saved.headCrc,
    );
    return same?.base ?? null;
  }

  #measure(piece: Piece): void {
    const stats = fs.fstatSync(piece.fd);
    if (stats.size < piece.size || this.#beganAnew(piece, stats)) {
      this.#truncated(piece, stats);
      return;
    }
    piece.size = stats.size;
    piece.allocated = stats.blocks * 512;
    piece.mtimeMs = stats.mtimeMs;
    piece.unlinked = stats.nlink === 0;
    if (!this.#mayBeFreed && piece.head.bytes < headBytesMax && stats.size > piece.head.bytes) {
      piece.head = head(piece.fd, stats.size);
      this.#incarnations += 1;
    }
  }

  /** Truncated and longer again before anybody looked: what it begins with tells. Only others truncate files that are written to. */
  #beganAnew(piece: Piece, stats: fs.Stats): boolean {
    if (this.#foreign === undefined || (stats.size === piece.size && stats.mtimeMs === piece.mtimeMs)) return false;
    return headCrc(piece.fd, piece.head.bytes) !== piece.head.crc;
  }

  /** The same inode begins anew (an engine with one log file, copy-truncate): what was not read is lost, how much nobody knows. */
  #truncated(piece: Piece, stats: fs.Stats): void {
    const base = piece.base + piece.size + 1;
    this.#unmeasured.add(base);
    this.#incarnations += 1;
    for (const old of this.#pieces) if (old !== piece) fs.closeSync(old.fd);
    this.#pieces = [{ ...piece, base, size: stats.size, mtimeMs: stats.mtimeMs, head: head(piece.fd, stats.size) }];
  }

  /** Everything that has come after `current`: more than one file when it was rotated more than once. */
  #followRotation(current: Piece): void {
    if (inodeOf(this.#path) === current.inode) return;
    const paths = rotated(this.#path);
    const position = paths.findIndex((path) => inodeOf(path) === current.inode);
    const newer = position < 0 ? paths.slice(-1) : paths.slice(position + 1);
    const opened = openAll(newer, current.inode);
    if (opened.length === 0) return;
    orClose(opened, () => this.#measure(current));
    this.#incarnations += 1;
    let base = this.end;
    if (position < 0 && !compressedFrom(`${this.#path}.1.gz`, current.head)) {
      // Our file is gone altogether: files may have come and gone in between, unless this is the very next one.
      base += 1;
      this.#unmeasured.add(base);
    }
    for (const piece of this.#pieces) piece.final = true;
    for (const piece of opened) {
      this.#pieces.push({ ...piece, base, final: piece !== opened.at(-1) });
      base += piece.size;
    }
    for (const piece of this.#pieces) piece.unlinked = fs.fstatSync(piece.fd).nlink === 0;
  }
}
