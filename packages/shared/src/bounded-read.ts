/** Files that a person has named: such a name may lead to a device without an end, a pipe that nobody writes to, or a file of any size. */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { formatBytes } from './units.ts';

/** A certificate or a bundle of authorities: that of Debian has 0.2 MiB. */
export const certificateBytesMax = 4 << 20;
/** A configuration, or a file of variables. */
export const configBytesMax = 4 << 20;
/** Longer than any token of a proxy, too. */
export const tokenBytesMax = 16 << 10;

export interface PipePatience {
  /** How long what is no file is waited for in all, in milliseconds. `<(gcloud secrets …)` takes some seconds. */
  readonly patienceMs?: number;
}

const patienceDefaultMs = 10_000;
const pauseMs = 20;
const pieceBytes = 64 << 10;

/** Up to `bytesMax` bytes. Throws errno errors, and what is longer or does not end, without the file's name; no thread waits for a pipe. */
export async function readBounded(file: string, bytesMax: number, { patienceMs = patienceDefaultMs }: PipePatience = {}): Promise<Buffer> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const steps = reading(await handle.stat(), bytesMax, patienceMs);
    let step = steps.next();
    while (step.done !== true) {
      const into = step.value;
      if (into === null) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      const bytes = into === null ? 0 : await handle.read(into).then((read) => read.bytesRead, nothingYet);
      step = steps.next(bytes);
    }
    return step.value;
  } finally {
    await handle.close();
  }
}

/** As readBounded, and the thread waits: in a service `patienceMs` is 0. */
export function readBoundedSync(file: string, bytesMax: number, patience: PipePatience = {}): Buffer {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return readDescriptorSync(descriptor, bytesMax, patience);
  } finally {
    closeSync(descriptor);
  }
}

/** As readBoundedSync, of what is open already, without waiting (O_NONBLOCK), and is not closed. */
export function readDescriptorSync(descriptor: number, bytesMax: number, { patienceMs = patienceDefaultMs }: PipePatience = {}): Buffer {
  const steps = reading(fstatSync(descriptor), bytesMax, patienceMs);
  let step = steps.next();
  while (step.done !== true) {
    const into = step.value;
    if (into === null) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
    step = steps.next(into === null ? 0 : readNow(descriptor, into));
  }
  return step.value;
}

/** Throws on bytes that are no UTF-8. */
export const textOf = (bytes: Buffer): string => new TextDecoder('utf-8', { fatal: true }).decode(bytes);

const notYet = -1;

function readNow(descriptor: number, into: Buffer): number {
  try {
    return readSync(descriptor, into, 0, into.length, null);
  } catch (thrown) {
    return nothingYet(thrown);
  }
}

function nothingYet(thrown: unknown): number {
  if ((thrown as NodeJS.ErrnoException).code === 'EAGAIN') return notYet;
  throw thrown;
}

/** Yields the place for the next bytes, and is told how many came (`notYet`: a pipe is empty); or null: a pause. */
function* reading(
  stats: Pick<Stats, 'isFile' | 'isFIFO' | 'size'>,
  bytesMax: number,
  patienceMs: number,
): Generator<Buffer | null, Buffer, number> {
  const tooLong = (): Error => new Error(`it is longer than ${formatBytes(bytesMax)}, so it is not what is meant`);
  if (stats.isFile() && stats.size > bytesMax) throw tooLong();
  const pieces: Buffer[] = [];
  let bytes = 0;
  let waitedMs = 0;
  for (;;) {
    const into = Buffer.allocUnsafe(Math.min(pieceBytes, bytesMax + 1 - bytes));
    const count = yield into;
    // The end of a pipe that nobody has opened to write, yet.
    const isUnopened = count === 0 && bytes === 0 && stats.isFIFO();
    if (count === 0 && !isUnopened) return Buffer.concat(pieces);
    if (count === notYet || isUnopened) {
      if (waitedMs >= patienceMs) throw new Error(stillOpen(stats, bytes));
      yield null;
      waitedMs += pauseMs;
      continue;
    }
    bytes += count;
    if (bytes > bytesMax) throw tooLong();
    pieces.push(into.subarray(0, count));
  }
}

function stillOpen(stats: Pick<Stats, 'isFIFO'>, bytes: number): string {
  const what = stats.isFIFO() ? 'it is a pipe' : 'it is no file but a device';
  return bytes === 0 ? `${what}, and nothing comes from it` : `${what} that does not come to an end`;
}
