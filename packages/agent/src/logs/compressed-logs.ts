/**
 * What the engine has made of its rotated log files with the option `compress`: `x.log.2.gz`, `x.log.1.gz`. One that was not read to
 * its end before is unpacked into a file without a name, which goes when it is closed, however the agent ends.
 */
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { constants as zlib, crc32, createGunzip, gunzipSync } from 'node:zlib';
import { numbersOf } from './file-piece.ts';

/** The first bytes of a file. */
interface Head {
  readonly bytes: number;
  readonly crc: number;
}

/** Enough for the header of the engine's gzip files and the first bytes behind it. */
const headBytes = 4_096;
/** Of one log. The disk is not for what nobody may want; more is a counted gap. */
const unpackedBytesMax = 512 * 1024 * 1024;
const chunkBytes = 64 * 1024;

/** Oldest first; without those that are there uncompressed as well, because the engine is still at it. */
export function compressedFiles(path: string): string[] {
  const plain = new Set(numbersOf(path, ''));
  const numbers = numbersOf(path, '.gz').filter((number) => !plain.has(number));
  return numbers.map((number) => `${path}.${number}.gz`);
}

/** It began so before it was compressed. */
export function compressedFrom(path: string, { bytes, crc }: Head): boolean {
  try {
    const fd = openCompressed(path);
    try {
      const buffer = Buffer.alloc(headBytes);
      const start = buffer.subarray(0, fs.readSync(fd, buffer, 0, buffer.length, 0));
      const text = gunzipSync(start, { finishFlush: zlib.Z_SYNC_FLUSH });
      return bytes > 0 && text.length >= bytes && crc32(text.subarray(0, bytes)) === crc;
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return false; // not there, or nothing that says what it was
  }
}

/** Files being unpacked, one after the other. Their names may change meanwhile, and they may go. */
export class Unpacking {
  #state: 'running' | 'done' | Error = 'running';
  #stopped = false;
  readonly #compressed: number[] = [];
  readonly #unpacked: number[] = [];

  /** `directory`: for the files without a name. Throws errno errors. */
  constructor(paths: readonly string[], directory: string) {
    try {
      for (const path of paths) this.#compressed.push(openCompressed(path));
    } catch (error) {
      this.#close();
      throw error;
    }
    void this.#run(directory).then(
      () => (this.#state = 'done'),
      (error: unknown) => {
        this.#state = error instanceof Error ? error : new Error(String(error));
        this.#close();
      },
    );
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  /** Descriptors, in the order of the paths, which the caller closes. Throws what went wrong. */
  take(): readonly number[] {
    if (this.#state instanceof Error) throw this.#state;
    return this.#unpacked.splice(0);
  }

  /** Nobody wants it any more. */
  stop(): void {
    if (this.running) this.#stopped = true;
    else this.#close();
  }

  async #run(directory: string): Promise<void> {
    let room = unpackedBytesMax;
    for (let fd = this.#compressed.at(0); fd !== undefined; fd = this.#compressed.at(0)) {
      const unpacked = openNameless(directory);
      this.#unpacked.push(unpacked);
      const gunzip = createGunzip();
      Readable.from(chunksOf(fd))
        .on('error', (error) => gunzip.destroy(error))
        .pipe(gunzip);
      for await (const chunk of gunzip as AsyncIterable<Buffer>) {
        if (this.#stopped) throw new Error('nobody wants it any more');
        room -= chunk.length;
        if (room < 0) throw new Error(`more than ${unpackedBytesMax} bytes of compressed logs are not unpacked`);
        for (let written = 0; written < chunk.length;) written += fs.writeSync(unpacked, chunk, written);
      }
      fs.closeSync(fd);
      this.#compressed.shift();
    }
    if (this.#stopped) throw new Error('nobody wants it any more');
  }

  #close(): void {
    for (const fd of [...this.#compressed.splice(0), ...this.#unpacked.splice(0)]) fs.closeSync(fd);
  }
}

/** Read at once when asked for: nothing is under way when the descriptor is closed. */
function* chunksOf(fd: number): Generator<Buffer> {
  for (let position = 0; ;) {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    const length = fs.readSync(fd, buffer, 0, chunkBytes, position);
    if (length === 0) return;
    position += length;
    yield buffer.subarray(0, length);
  }
}

function openNameless(directory: string): number {
  const path = join(directory, `unpacked.${randomUUID()}`);
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  const fd = fs.openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  fs.unlinkSync(path);
  return fd;
}

const openCompressed = (path: string): number =>
  fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
