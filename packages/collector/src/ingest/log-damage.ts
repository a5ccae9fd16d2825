/** Says of damaged log files what a person needs to know: an event that is kept, a line in the log, a number in /metrics. */
import { RelightError, toRelightError } from '@relight/shared/errors';
import type { Clock } from '@relight/shared/clock';
import { basename } from 'node:path';
import type { MetricFamily } from '../api/metrics-text.ts';
import type { LogDamage } from '../store/logs/log-writer.ts';
import type { Store, StoredEvent } from '../store/store.ts';

export interface LogDamageDeps {
  readonly clock: Clock;
  readonly warn: (message: string, error: RelightError) => void;
}

export class LogDamageBook {
  readonly #deps: LogDamageDeps;
  #count = 0;
  readonly #files = new Set<string>();
  /** Found before there was a store to write to. */
  #untold: LogDamage[] = [];
  #tell: ((damage: LogDamage) => void) | null = null;

  constructor(deps: LogDamageDeps) {
    this.#deps = deps;
  }

  /** Every thread that reads a file meets its damage, and so does the one that sets it aside: it is told once. */
  found(damage: LogDamage): void {
    const stem = damage.file.replace(/(?:\.sealed)?\.db(?:\.damaged)?$/, '');
    if (this.#files.has(stem)) return;
    this.#files.add(stem);
    this.#count += 1;
    const { file, message } = damage;
    this.#deps.warn('a log file is damaged', new RelightError('store-failed', `${file}: ${message}`, { advice }));
    if (this.#tell === null) this.#untold.push(damage);
    else this.#tell(damage);
  }

  tellTo(store: Pick<Store, 'commitOwnEvent'>, stored: (event: StoredEvent) => void): void {
    this.#tell = ({ file, message }) => {
      const event = {
        at: this.#deps.clock.now(),
        host: '',
        workload: null,
        generation: null,
        kind: 'log.gap' as const,
        severity: 'error' as const,
        message: `the log file ${basename(file)} of this collector is damaged (${message}): what was only in it is lost`,
        data: { lane: 'logs', file: basename(file), reason: 'damaged' },
      };
      store.commitOwnEvent(event).then(stored, (error: unknown) => this.#deps.warn('an event cannot be stored', toRelightError(error)));
    };
    for (const damage of this.#untold.splice(0)) this.#tell(damage);
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'relight_store_damaged_log_files_total',
        help: 'Log files that were found damaged since the process began.',
        type: 'counter',
        samples: [{ value: this.#count }],
      },
    ];
  }
}

const advice = 'Look at the disk (dmesg); the file is kept for a look, and relight-collector verify says what else is damaged.';
