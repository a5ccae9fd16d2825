/** Another program for logs that a bench compares with: what it takes, what it answers, and what it costs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '../wait.ts';

export interface LogPeer extends AsyncDisposable {
  /** With its version. */
  readonly name: string;
  readonly process: PeerProcess;
  /** Where all its data is. */
  readonly directory: string;
  /** Whole lines with their newlines in the form that it takes; that work is the sender's, and not to be measured. */
  encode(stream: string, lines: Buffer, at: Date): Buffer;
  /** Resolves when it has taken them. */
  send(encoded: Buffer): Promise<void>;
  /** Resolves when all that it has taken is on its disk, as small as it makes it. */
  settle(): Promise<void>;
  /** How many lines with this word or phrase it has given out, at most `limit`. */
  search(word: string, limit: number): Promise<number>;
}

interface PeerOptions {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly logFile: string;
  readonly isUp: () => Promise<boolean>;
}

const tickMs = 10;

export class PeerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;

  static async start({ args, env, isUp, logFile, name, program }: PeerOptions): Promise<PeerProcess> {
    const log = openSync(logFile, 'a');
    const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
    closeSync(log);
    const started = new PeerProcess(child);
    await waitFor(
      () => {
        if (child.exitCode !== null)
          throw new Error(`${name} ended with ${child.exitCode}: ${readFileSync(logFile, 'utf8').slice(-1_000)}`);
        return isUp();
      },
      { timeoutMs: 30_000, everyMs: 50, what: `${name} to be up` },
    );
    return started;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    // A program that cannot be executed is said by its missing answer.
    child.once('error', () => undefined);
  }

  /** Of all its threads so far. */
  get cpuMs(): number {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * tickMs;
  }

  get residentBytes(): number {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')) ?? [];
    return Number(kilobytes) * 1_024;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.kill('SIGKILL');
    await ended;
  }
}

/** What the files below it take on the disk. */
export function bytesOnDisk(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).blocks * 512, 0);
}
