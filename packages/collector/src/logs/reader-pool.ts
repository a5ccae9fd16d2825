/**
 * The threads that read stored logs, so that a search over everything holds up neither ingest nor anybody's tail. Started when they
 * are first needed: a collector that nobody asks has none.
 */
import { Worker } from 'node:worker_threads';
import { RelightError } from '@relight/shared/errors';
import type { LogRequest } from './answer.ts';
import type { LogReading } from './reading.ts';
import type { LogDamage } from '../store/logs/log-writer.ts';
import type { ReaderAnswer, ReaderDamage, ReaderData, ReaderRequest } from './reader-worker.ts';

const threadsMax = 2;
/** From sources the thread has a file of its own; a bundle is one file, which reader-worker.ts recognises as its entry. */
const entry = import.meta.url.endsWith('.ts') ? new URL('./reader-worker.ts', import.meta.url) : new URL(import.meta.url);

/** What one reader waits for. */
interface Waiter {
  readonly answers: Exclude<ReaderAnswer, { kind: 'failed' }>[];
  failure: RelightError | null;
  wake: () => void;
}

export interface ReaderPool extends LogReading {
  /** Questions that are being answered. */
  readonly busy: number;
}

/** `onDamage`: told once a file and thread. */
export function readerPool(dataDir: string, onDamage: (damage: LogDamage) => void = () => undefined): ReaderPool {
  const threads: ReaderThread[] = [];
  let closed = false;
  const thread = (): ReaderThread => {
    if (closed) throw new RelightError('store-failed', 'the store is closed');
    // One that has died is not asked again; the next question starts another.
    for (let index = threads.length - 1; index >= 0; index -= 1) if (threads[index]?.dead === true) threads.splice(index, 1);
    const idle = threads.toSorted((a, b) => a.load - b.load)[0];
    if (idle !== undefined && (idle.load === 0 || threads.length === threadsMax)) return idle;
    const fresh = new ReaderThread(dataDir, onDamage);
    threads.push(fresh);
    return fresh;
  };
  return {
    get busy() {
      return threads.reduce((sum, { load }) => sum + load, 0);
    },
    async *read(request, signal) {
      yield* thread().read(request, signal);
    },
    async close() {
      closed = true;
      await Promise.all(threads.map((one) => one.close()));
    },
  };
}

class ReaderThread {
  readonly #worker: Worker;
  readonly #waiters = new Map<number, Waiter>();
  readonly #ended: Promise<void>;
  #nextId = 1;
  dead = false;

  constructor(dataDir: string, onDamage: (damage: LogDamage) => void) {
    const workerData: ReaderData = { role: 'relight-log-reader', dataDir };
    // Options of the process (a test runner's loaders, an inspector) are not the thread's.
    this.#worker = new Worker(entry, { workerData, execArgv: [] });
    this.#worker.on('message', (answer: ReaderAnswer | ReaderDamage) => {
      if (answer.kind === 'damage') onDamage(answer.damage);
      else this.#take(answer);
    });
    this.#worker.on('error', (cause) =>
      this.#die(new RelightError('store-failed', `a reading thread failed: ${cause.message}`, { cause })),
    );
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#die(new RelightError('store-failed', 'a reading thread ended'));
        resolve();
      });
    });
  }

  /** Questions that are being answered. */
  get load(): number {
    return this.#waiters.size;
  }

  async *read(request: LogRequest, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const id = this.#nextId++;
    const waiter: Waiter = { answers: [], failure: null, wake: () => undefined };
    this.#waiters.set(id, waiter);
    const stop = (): void => waiter.wake();
    signal?.addEventListener('abort', stop);
    try {
      this.#send({ kind: 'read', id, request });
      for (;;) {
        if (signal?.aborted === true) return;
        const answer = waiter.answers.shift();
        if (answer?.kind === 'end') return;
        if (answer !== undefined) {
          yield answer.bytes;
          this.#send({ kind: 'fetched', id });
        } else if (waiter.failure === null) await new Promise<void>((resolve) => (waiter.wake = resolve));
        else throw waiter.failure;
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#waiters.delete(id);
      this.#send({ kind: 'cancel', id });
    }
  }

  async close(): Promise<void> {
    this.#send({ kind: 'close' });
    await this.#ended;
  }

  #send(request: ReaderRequest): void {
    if (!this.dead) this.#worker.postMessage(request, []);
  }

  #take(answer: ReaderAnswer): void {
    const waiter = this.#waiters.get(answer.id);
    if (waiter === undefined) return;
    if (answer.kind === 'failed') waiter.failure = new RelightError(answer.code, answer.message);
    else waiter.answers.push(answer);
    waiter.wake();
  }

  #die(error: RelightError): void {
    this.dead = true;
    for (const waiter of this.#waiters.values()) {
      waiter.failure ??= error;
      waiter.wake();
    }
  }
}
