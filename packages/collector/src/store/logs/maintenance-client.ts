/** This side of the maintenance thread. Without it everything works, only less well: its end is told and nothing more. */
import { Worker } from 'node:worker_threads';
import { RelightError } from '@relight/shared/errors';
import type { LogDamage } from './log-writer.ts';
import type { MaintenanceData, MaintenanceReport, MaintenanceRequest } from './maintenance-worker.ts';

export interface MaintenanceEvents {
  readonly onDamage: (damage: LogDamage) => void;
  readonly onError: (error: RelightError) => void;
}

/** As in writer-client.ts. */
const entry = import.meta.url.endsWith('.ts') ? new URL('./maintenance-worker.ts', import.meta.url) : new URL(import.meta.url);

export class MaintenanceClient {
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  #sealing: (() => void)[] = [];
  #gone = false;

  constructor(dataDir: string, { onDamage, onError }: MaintenanceEvents) {
    const workerData: MaintenanceData = { role: 'relight-store-maintenance', dataDir };
    this.#worker = new Worker(entry, { workerData, execArgv: [] });
    this.#worker.on('message', (report: MaintenanceReport) => {
      if (report === 'sealed') for (const done of this.#sealing.splice(0)) done();
      else if ('damage' in report) onDamage(report.damage);
      else onError(new RelightError('store-failed', report.failed));
    });
    this.#worker.on('error', (cause) =>
      onError(new RelightError('store-failed', `the maintenance thread failed: ${cause.message}`, { cause })),
    );
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#gone = true;
        for (const done of this.#sealing.splice(0)) done();
        resolve();
      });
    });
  }

  /** Resolves when every file that can be sealed is. */
  seal(): Promise<void> {
    if (this.#gone) return Promise.resolve();
    return new Promise((resolve) => {
      this.#sealing.push(resolve);
      this.#ask('seal');
    });
  }

  async close(): Promise<void> {
    if (!this.#gone) this.#ask('close');
    await this.#ended;
  }

  #ask(request: MaintenanceRequest): void {
    this.#worker.postMessage(request, []);
  }
}
