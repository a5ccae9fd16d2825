import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { linePrefixer } from './line-prefixer.ts';

export const root: string = join(import.meta.dirname, '..');
/** From the end of a tool until nobody waits any more for the rest of what it has said. */
const unreadMs = 10_000;
const bin = join(root, 'node_modules', '.bin');

/**
 * Runs a tool of node_modules/.bin in the foreground; resolves with its exit code, 128 + n when a signal ended it. A signal
 * for us is for the tool: we go on when it has ended. `prefix` is put before each line of what it says, for several at once.
 */
export function runTool(tool: string, args: readonly string[], env: Record<string, string> = {}, prefix?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const said = prefix === undefined ? 'inherit' : 'pipe';
    const child = spawn(join(bin, tool), args, { cwd: root, stdio: ['inherit', said, said], env: { ...process.env, ...env } });
    passOn(child.stdout, process.stdout, prefix);
    passOn(child.stderr, process.stderr, prefix);
    const signals = ['SIGINT', 'SIGTERM'] as const;
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    for (const signal of signals) process.on(signal, pass);
    child.once('error', reject);
    // What it has started and left behind may hold its output open for ever.
    let giveUp: NodeJS.Timeout | undefined;
    child.once('exit', () => {
      giveUp = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, unreadMs);
    });
    // Not before all that it has said is read.
    child.once('close', (code, signal) => {
      clearTimeout(giveUp);
      for (const name of signals) process.off(name, pass);
      resolve(code ?? 128 + (signal === null ? 1 : constants.signals[signal]));
    });
  });
}

function passOn(from: Readable | null, to: NodeJS.WritableStream, prefix = ''): void {
  const lines = linePrefixer(prefix, (bytes) => void to.write(bytes));
  from?.on('data', (chunk: Buffer) => lines.push(chunk));
  from?.once('end', () => lines.end());
}
