/** This side of the writing thread: every command becomes a promise that resolves after its durable commit. */
import { Worker } from 'node:worker_threads';
import { RelightError } from '@relight/shared/errors';
import type { WriterData, WriterRequest } from './writer-worker.ts';
import type { Outcome, Writes } from './writes.ts';

interface Waiter {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** From sources the thread has a file of its own; a bundle is one file, which writer-worker.ts recognises as its entry. */
const entry = import.meta.url.endsWith('.ts') ? new URL('./writer-worker.ts', import.meta.url) : new URL(import.meta.url);

export class WriterClient {
  readonly #worker: Worker;
  readonly #waiters = new Map<number, Waiter>();
  readonly #ended: Promise<void>;
  readonly #onDeath: (error: RelightError) => void;
  #nextId = 1;
  #closing = false;
  #dead: RelightError | undefined;

  private constructor(worker: Worker, onDeath: (error: RelightError) => void) {
    this.#worker = worker;
    this.#onDeath = onDeath;
    worker.on('message', (outcomes: readonly Outcome[]) => this.#settle(outcomes));
    worker.on('error', (cause) => this.#die(new RelightError('store-failed', `the writing thread failed: ${cause.message}`, { cause })));
    this.#ended = new Promise((resolve) => {
      worker.once('exit', () => {
        this.#die(new RelightError('store-failed', this.#closing ? 'the store is closed' : 'the writing thread ended'));
        resolve();
      });
    });
  }

  /**
   * `onDeath`: the thread has ended by itself, and nothing will be written any more.
   * @throws RelightError `store-failed` when the thread cannot open the database.
   */
  static async start(dataDir: string, onDeath: (error: RelightError) => void): Promise<WriterClient> {
    const workerData: WriterData = { role: 'relight-store-writer', dataDir };
    // Options of the process (a test runner's loaders, an inspector) are not the thread's.
    const worker = new Worker(entry, { workerData, execArgv: [] });
    await new Promise<void>((resolve, reject) => {
      worker.once('error', (cause) => reject(new RelightError('store-failed', `the writing thread failed: ${cause.message}`, { cause })));
      worker.once('message', () => resolve());
    });
    return new WriterClient(worker, onDeath);
  }

  /** `transfer` is weight: buffers that move to the thread instead of being copied again. */
  call<K extends keyof Writes>(
    name: K,
    args: Parameters<Writes[K]>,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<ReturnType<Writes[K]>> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    const id = this.#nextId++;
    const bytes = transfer.reduce((sum, buffer) => sum + buffer.byteLength, 256);
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject });
      const request: WriterRequest = { command: { id, name, args }, bytes };
      this.#worker.postMessage(request, [...transfer]);
    });
  }

  /** Everything that was called before is committed. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#dead === undefined) this.#worker.postMessage('close' satisfies WriterRequest, []);
    await this.#ended;
  }

  #settle(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      const waiter = this.#waiters.get(outcome.id);
      this.#waiters.delete(outcome.id);
      if (outcome.ok) waiter?.resolve(outcome.value as never);
      else waiter?.reject(new RelightError(outcome.code, outcome.message));
    }
  }

  #die(error: RelightError): void {
    if (this.#dead === undefined) {
      this.#dead = error;
      if (!this.#closing) this.#onDeath(error);
    }
    for (const waiter of this.#waiters.values()) waiter.reject(error);
    this.#waiters.clear();
  }
}
