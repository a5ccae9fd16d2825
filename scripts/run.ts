import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';

export const root: string = join(import.meta.dirname, '..');
const bin = join(root, 'node_modules', '.bin');

/**
 * Runs a tool of node_modules/.bin in the foreground; resolves with its exit code, 128 + n when a signal ended it. A signal
 * for us is for the tool: we go on when it has ended.
 */
export function runTool(tool: string, args: readonly string[], env: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(bin, tool), args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
    const signals = ['SIGINT', 'SIGTERM'] as const;
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    for (const signal of signals) process.on(signal, pass);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      for (const name of signals) process.off(name, pass);
      resolve(code ?? 128 + (signal === null ? 1 : constants.signals[signal]));
    });
  });
}
