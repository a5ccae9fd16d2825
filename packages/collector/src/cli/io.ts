/** What a command sees of the world outside: its output, the clock, and the wish to stop. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import pc from 'picocolors';
import { systemClock, type Clock } from '@relight/shared/clock';
import type { Colors } from './view/paint.ts';

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly color: Colors;
  /** Columns of the terminal; null when the output is not one, and then nothing is cut. */
  readonly columns: number | null;
  /** Aborts on Ctrl-C, SIGTERM, or when the reader of our output has gone. */
  readonly signal: AbortSignal;
  /** To stdout; resolves when there is room for more. */
  write(text: string): Promise<void>;
  /** One line for the person at the terminal, on stderr. */
  readonly note: (text: string) => void;
}

/**
 * NO_COLOR (no-color.org) wins over FORCE_COLOR, which wins over what the output is. `terminal` is undefined for a pipe,
 * which picocolors would take for leave to find out by itself: in CI, for it, everything is a terminal.
 */
export function wantsColor(env: Readonly<Record<string, string | undefined>>, terminal: boolean | undefined): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  if ((env['FORCE_COLOR'] ?? '') !== '') return env['FORCE_COLOR'] !== '0';
  return terminal === true && env['TERM'] !== 'dumb';
}

/** Of a terminal; null for a pipe, and for a terminal that nobody has told its size, which says 0. */
export function columnsOf({ isTTY, columns }: { readonly isTTY?: boolean; readonly columns?: number }): number | null {
  return isTTY === true && columns !== undefined && columns > 0 ? columns : null;
}

export function processIo(signal: AbortSignal): Io {
  const terminal = process.stdout.isTTY;
  return {
    env: process.env,
    clock: systemClock,
    color: pc.createColors(wantsColor(process.env, terminal)),
    get columns() {
      return columnsOf(process.stdout);
    },
    signal,
    write: (text) => writeAll(process.stdout, text, signal),
    note: (text) => void process.stderr.write(`${text}\n`),
  };
}

/** A full disk behind `>`, above all: half of an answer must not look like all of it. A reader that has gone is no failure. */
export function outputFailed(program: string, error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  process.stderr.write(`${program}: the output cannot be written: ${error.message}\n`);
  process.exit(1);
}

async function writeAll(stream: Writable, text: string, signal: AbortSignal): Promise<void> {
  if (text === '' || signal.aborted) return;
  if (!stream.write(text)) await once(stream, 'drain', { signal });
}
