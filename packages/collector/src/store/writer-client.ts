/** This side of the writing thread: every command becomes a promise that resolves after its durable commit. */
import { Worker } from 'node:worker_threads';
import { RelightError } from '@relight/shared/errors';
import type { Outcome } from './group-commit.ts';
import type { LogDamage, LogFileLimits } from './logs/log-writer.ts';
import type { WriterData, WriterReport, WriterRequest } from './writer-worker.ts';
import type { AnyCommand, Writes } from './writes.ts';

export interface WriterEvents {
  /** The thread has ended by itself, and nothing will be written any more. */
  readonly onDeath: (error: RelightError) => void;
  /** A log file was found damaged, and replaced. */
  readonly onLogDamage: (damage: LogDamage) => void;
}

interface Waiter {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** From sources the thread has a file of its own; a bundle is one file, which writer-worker.ts recognises as its entry. */
const entry = import.meta.url.endsWith('.ts') ? new URL('./writer-worker.ts', import.meta.url) : new URL(import.meta.url);

export class WriterClient {
  readonly #worker: Worker;
  readonly #waiters = new Map<number, Waiter>();
  #awaitingAny: (() => void)[] = [];
  readonly #ended: Promise<void>;
  readonly #events: WriterEvents;
  #nextId = 1;
  #closing = false;
  #dead: RelightError | undefined;

  private constructor(worker: Worker, events: WriterEvents) {
    this.#worker = worker;
    this.#events = events;
    worker.on('message', (report: WriterReport) => {
      if (report !== 'ready' && 'outcomes' in report) this.#settle(report.outcomes);
      else if (report !== 'ready') events.onLogDamage(report.damage);
    });
    // Whose answers were in it nobody knows. All of them hear that it failed, and try again: what is committed is known then.
    worker.on('messageerror', (cause) =>
      this.#rejectAll(new RelightError('store-failed', `an answer of the writing thread cannot be read: ${cause.message}`, { cause })),
    );
    worker.on('error', (cause) => this.#die(new RelightError('store-failed', `the writing thread failed: ${cause.message}`, { cause })));
    this.#ended = new Promise((resolve) => {
      worker.once('exit', () => {
        this.#die(new RelightError('store-failed', this.#closing ? 'the store is closed' : 'the writing thread ended'));
        resolve();
      });
    });
  }

  /** @throws RelightError `store-failed` when the thread cannot open the database. */
  static async start(dataDir: string, events: WriterEvents, logFileLimits?: LogFileLimits): Promise<WriterClient> {
    const workerData: WriterData = { role: 'relight-store-writer', dataDir, ...(logFileLimits === undefined ? {} : { logFileLimits }) };
    // Options of the process (a test runner's loaders, an inspector) are not the thread's.
    const worker = new Worker(entry, { workerData, execArgv: [] });
    await new Promise<void>((resolve, reject) => {
      worker.once('error', (cause) => reject(new RelightError('store-failed', `the writing thread failed: ${cause.message}`, { cause })));
      // Damage that was found while opening is told before.
      const opening = (report: WriterReport): void => {
        if (report === 'ready') {
          worker.off('message', opening);
          resolve();
        } else if ('damage' in report) events.onLogDamage(report.damage);
      };
      worker.on('message', opening);
    });
    return new WriterClient(worker, events);
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
      const request: WriterRequest = { command: { id, name, args } as AnyCommand, bytes };
      this.#worker.postMessage(request, [...transfer]);
    });
  }

  /**
   * Settles with the next answer of the thread, to whatever it was asked. What waits may be minutes of work for a slow disk, so a command
   * alone, which is answered behind all that, would not show that it goes on; it makes sure of an answer where nothing else is under way.
   */
  progress(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#awaitingAny.push(resolve);
    return Promise.race([promise, this.call('proveWriting', [])]);
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
    const awaiting = this.#awaitingAny;
    this.#awaitingAny = [];
    for (const resolve of awaiting) resolve();
  }

  #die(error: RelightError): void {
    if (this.#dead === undefined) {
      this.#dead = error;
      if (!this.#closing) this.#events.onDeath(error);
    }
    this.#rejectAll(error);
  }

  #rejectAll(error: RelightError): void {
    for (const waiter of this.#waiters.values()) waiter.reject(error);
    this.#waiters.clear();
  }
}
