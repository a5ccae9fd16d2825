/**
 * A child process on the host with a deadline: own process group, output capped, killed as a group. The one place where
 * Relight waits for something that may never end, so its promise always settles, even when the child cannot be killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Clock } from './clock.ts';
import { errorMessage } from './errors.ts';

export interface ChildRequest {
  readonly argv: readonly [string, ...string[]];
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** The whole environment; default: the agent's own. */
  readonly env?: NodeJS.ProcessEnv;
  /** Per stream; what exceeds it is read and dropped. */
  readonly outputBytesMax?: number;
  /** Which part of a longer output is kept. Default: its beginning. The end begins with a whole line. */
  readonly outputKept?: 'beginning' | 'end';
  /** As soon as it runs; `pid` is its process group as well. */
  readonly onStart?: (pid: number) => void;
  /** Of both streams, as it comes, beyond `outputBytesMax` as well. */
  readonly onOutput?: (chunk: Buffer) => void;
}

export interface ChildResult {
  /** Null when a signal ended it, or nothing did. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  /** Set when it could not be started: ENOENT, EACCES … */
  readonly spawnError: string | null;
  /** Null when it is over. Otherwise it survived SIGKILL (D state), and this resolves when it finally ends. */
  readonly survivor: Promise<void> | null;
}

/** A killed process that is not in D state is gone well within this. */
const afterKillMs = 200;
/** A grandchild may hold the pipes for ever; what the child itself wrote is there by then. */
const afterExitMs = 100;

/** Never rejects. An abort of the signal kills the child and counts as its deadline. */
export function runChild(request: ChildRequest): Promise<ChildResult> {
  const { clock, outputBytesMax = 64 * 1024, outputKept = 'beginning' } = request;
  const collect = outputKept === 'end' ? collectEnd : collectBeginning;
  return new Promise((resolve) => {
    const child = launch(request);
    if (typeof child === 'string') {
      resolve({ exitCode: null, signal: null, stdout: '', stderr: '', timedOut: false, spawnError: child, survivor: null });
      return;
    }
    const stdout = collect(child.stdout, outputBytesMax, request.onOutput);
    const stderr = collect(child.stderr, outputBytesMax, request.onOutput);
    if (child.pid !== undefined) request.onStart?.(child.pid);
    let timedOut = false;
    let spawnError: string | null = null;
    const ended = new Promise<void>((done) => {
      child.once('exit', () => done());
      child.once('error', () => done());
    });

    const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null || spawnError !== null;
    const settle = (survivor: Promise<void> | null): void => {
      timer.cancel();
      request.signal?.removeEventListener('abort', expire);
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.unref();
      resolve({
        exitCode: child.exitCode,
        signal: child.signalCode,
        stdout: stdout(),
        stderr: stderr(),
        timedOut,
        spawnError,
        survivor,
      });
    };
    const expire = (): void => {
      if (timedOut) return;
      timedOut = true;
      if (child.pid !== undefined) killGroup(child.pid);
      timer.cancel();
      timer = clock.after(afterKillMs, () => settle(ended));
    };
    // Where this process itself stood still (a slow disk, a freeze of the machine), its timers are due before it has seen that the child
    // has long ended: it looks once more before it calls it late.
    const due = (): void => afterATurn(() => isOver() || expire());
    let timer = clock.after(request.timeoutMs, due);
    if (request.signal?.aborted === true) expire();
    request.signal?.addEventListener('abort', expire, { once: true });

    child.once('error', (error: NodeJS.ErrnoException) => {
      spawnError = error.code ?? error.message;
      settle(null);
    });
    child.once('exit', () => {
      timer.cancel();
      // Its end may have been seen with that of another, before its pipe was read, and this process may have stood still since.
      timer = clock.after(afterExitMs, () => afterATurn(() => settle(null)));
    });
    child.once('close', () => settle(null));
  });
}

/** When all that had come by now is seen, wherever in its turn the loop is: between two of these it has looked. */
export function afterATurn(work: () => void): void {
  setImmediate(() => void setImmediate(work));
}

/** A string is why not: an argument with a NUL character, or the limits on processes and descriptors. */
function launch({ argv: [program, ...args], env }: ChildRequest): ChildProcess | string {
  try {
    return spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...(env === undefined ? {} : { env }) });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? errorMessage(error);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // ESRCH: it ended at this moment, which is what was wanted.
  }
}

/** Without descriptors to spare there is no stream, and the error event follows. */
function collectBeginning(
  stream: NodeJS.ReadableStream | null | undefined,
  bytesMax: number,
  onOutput?: (chunk: Buffer) => void,
): () => string {
  const chunks: Buffer[] = [];
  let room = bytesMax;
  stream?.on('data', (chunk: Buffer) => {
    onOutput?.(chunk);
    if (room <= 0) return;
    const part = chunk.subarray(0, room);
    room -= part.length;
    chunks.push(part);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function collectEnd(stream: NodeJS.ReadableStream | null | undefined, bytesMax: number, onOutput?: (chunk: Buffer) => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let dropped = false;
  stream?.on('data', (chunk: Buffer) => {
    onOutput?.(chunk);
    chunks.push(chunk);
    bytes += chunk.length;
    for (let oldest = chunks[0]; oldest !== undefined && bytes - oldest.length >= bytesMax; oldest = chunks[0]) {
      chunks.shift();
      bytes -= oldest.length;
      dropped = true;
    }
  });
  return () => {
    const kept = Buffer.concat(chunks);
    const end = kept.subarray(Math.max(0, kept.length - bytesMax));
    return end.subarray(dropped || end.length < kept.length ? end.indexOf(10) + 1 : 0).toString('utf8');
  };
}
