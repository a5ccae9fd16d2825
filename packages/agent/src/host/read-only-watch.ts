/** Looks at the mount tables of the host and of its containers every second: a few small files, and nothing when they are as before. */
import { readFileSync } from 'node:fs';
import type { Clock, Timer } from '@relight/shared/clock';
import { parseMountinfo } from '../stages/proc.ts';
import type { ReportedCondition } from './condition-diff.ts';
import { readOnlyConditions, writableIn, type Tables } from './read-only.ts';

/** Who fails of it does so at once, and is told why; a look costs a tenth of a millisecond. */
const everyMs = 1_000;

export interface ReadOnlyWatchOptions {
  readonly clock: Clock;
  readonly stateDir: string;
  /** The containers of our workloads that run. */
  readonly containers: () => readonly { readonly workload: string; readonly pid: number }[];
  /** Mount points that were reported before, also by an agent before this one. */
  readonly raised: () => readonly string[];
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  readonly procRoot?: string;
}

export class ReadOnlyWatch {
  readonly #options: ReadOnlyWatchOptions;
  #last = '';
  #writable: ReadonlySet<string> = new Set();
  #timer: Timer | null = null;

  constructor(options: ReadOnlyWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const tick = (): void => {
      this.#timer = this.#options.clock.after(everyMs, tick);
      this.look();
    };
    tick();
  }

  dispose(): void {
    this.#timer?.cancel();
  }

  look(): void {
    const { stateDir, containers, raised, report } = this.#options;
    const host = this.#table('self');
    if (host === null) return;
    const inside = containers().flatMap(({ workload, pid }) => {
      const table = this.#table(String(pid));
      return table === null ? [] : [{ workload, table }];
    });
    const all = [host, ...inside.map(({ workload, table }) => `${workload}\n${table}`)].join('\n');
    if (all === this.#last) return;
    this.#last = all;
    const tables: Tables = {
      host: parseMountinfo(host),
      stateDir,
      containers: inside.map(({ workload, table }) => ({ workload, mounts: parseMountinfo(table) })),
    };
    const found = readOnlyConditions(tables, { raised: raised(), writable: this.#writable });
    const there = new Set(tables.host.map(({ device }) => device));
    this.#writable = new Set([...this.#writable, ...writableIn(tables)].filter((device) => there.has(device)));
    report(found);
  }

  /** Null: that process is gone. */
  #table(process: string): string | null {
    try {
      return readFileSync(`${this.#options.procRoot ?? '/proc'}/${process}/mountinfo`, 'utf8');
    } catch {
      return null;
    }
  }
}
