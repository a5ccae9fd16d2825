/** One command on the host, to its end or its deadline, with everything it prints in a file. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import { formatDurationMs } from '@relight/shared/units';
import type { Command } from '../../config/spec.ts';
import { runChild, type ChildResult } from '@relight/shared/child';
import { commandArgv } from '../../stages/run-wrapper.ts';
import { splitLines } from '../../stages/output.ts';

/** A command that never stops talking must not fill the disk. */
const fileBytesMax = 1 << 20;
const tailBytes = 16 * 1024;
const lastLinesMax = 20;

export interface HostCommandRequest {
  readonly command: Command;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
  readonly directory: string;
  readonly fileName: string;
  readonly onStart: (pid: number) => void;
  /** What it printed last, without secrets. `continued`: it has begun before. Whatever is cut afterwards leaves no half of one. */
  readonly redact: (bytes: Uint8Array, continued: boolean) => string;
}

export interface HostCommandResult {
  /** Null: exit code 0. */
  readonly fault: string | null;
  readonly exitCode: number | null;
  /** Oldest first. */
  readonly lastLines: readonly string[];
  /** Null when it could not be written. */
  readonly outputFile: string | null;
}

/** Never rejects. A process that survives its kill is waited for: a second one beside it would only hang as well. */
export async function runHostCommand(request: HostCommandRequest): Promise<HostCommandResult> {
  const { command, clock, timeoutMs, signal, env, onStart, redact } = request;
  const [program = 'sh', ...args] = commandArgv(command, null);
  const output = new Output(request.directory, request.fileName);
  try {
    const child = await runChild({
      argv: [program, ...args],
      clock,
      timeoutMs,
      signal,
      env,
      onStart,
      onOutput: (chunk) => output.add(chunk),
      outputBytesMax: 0,
    });
    if (!signal.aborted && child.survivor !== null) await Promise.race([child.survivor, aborted(signal)]);
    const lastLines = output.lastLines(redact);
    return { fault: faultOf(child, program, timeoutMs), exitCode: child.exitCode, lastLines, outputFile: output.file };
  } finally {
    output.close();
  }
}

function faultOf({ spawnError, timedOut, signal, exitCode }: ChildResult, program: string, timeoutMs: number): string | null {
  if (spawnError !== null) return `${program} cannot be started (${spawnError})`;
  if (timedOut) return `not done within ${formatDurationMs(timeoutMs)}`;
  if (signal !== null) return `killed by ${signal}`;
  return exitCode === 0 ? null : `exit code ${exitCode}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

class Output {
  readonly file: string | null;
  readonly #descriptor: number | null;
  #room = fileBytesMax;
  #tail = Buffer.alloc(0);
  #isCut = false;

  constructor(directory: string, name: string) {
    const file = join(directory, name);
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#descriptor = openSync(file, 'w', 0o600);
      this.file = file;
    } catch {
      // A full disk must not keep a host from its setup; the last lines are in the event.
      this.#descriptor = null;
      this.file = null;
    }
  }

  add(chunk: Buffer): void {
    const all = Buffer.concat([this.#tail, chunk]);
    this.#isCut ||= all.length > tailBytes;
    this.#tail = all.subarray(-tailBytes);
    const part = chunk.subarray(0, this.#room);
    this.#room -= part.length;
    if (this.#descriptor === null || part.length === 0) return;
    try {
      writeSync(this.#descriptor, part);
    } catch {
      this.#room = 0;
    }
  }

  lastLines(redact: HostCommandRequest['redact']): readonly string[] {
    return splitLines(redact(this.#tail, this.#isCut))
      .slice(-lastLinesMax)
      .map((line) => line.slice(0, 300));
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
  }
}
