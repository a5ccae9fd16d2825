/**
 * Looks at the host's mount table every second: a small file, and nothing when it is as before. Those of the containers show the same
 * file systems. They are read when that one has changed and when other containers run; and every few seconds, because an
 * engine in a mount namespace of its own has some that the host does not show.
 */
import { readFileSync } from 'node:fs';
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import { parseMountinfo, type MountEntry } from '../stages/proc.ts';
import { concernOf, usersOf, type Concern, type Tables, type Users } from './concerns.ts';
import type { ReportedCondition } from './condition-diff.ts';
import { mountOf } from './proc.ts';
import { readOnlyConditions, writableIn } from './read-only.ts';

/** Who fails of it does so at once, and is told why; a look costs a tenth of a millisecond, with 500 mounts on the host one. */
const everyMs = 1_000;
const containersEveryMs = 5_000;

export interface ReadOnlyWatchOptions {
  readonly clock: Clock;
  readonly stateDir: string;
  /** The engine's data; null: the engine has not told yet. */
  readonly engineRoot: () => string | null;
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
  #lastHost = '';
  #lastRunning = '';
  /** When the containers' tables were read; monotonic. */
  #readAt = -Infinity;
  #reported = '';
  #writable: ReadonlySet<string> = new Set();
  #tables: Pick<Tables, 'host' | 'containers'> = { host: [], containers: [] };
  #users: Users = new Map();
  #timer: Timer | null = null;

  constructor(options: ReadOnlyWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const tick = (): void => {
      this.#timer = onBeat(this.#options.clock, everyMs, tick);
      this.#look(false);
    };
    tick();
  }

  dispose(): void {
    this.#timer?.cancel();
  }

  look(): void {
    this.#look(true);
  }

  #look(wholly: boolean): void {
    if (!this.#read(wholly) || this.#last === this.#reported) return;
    this.#reported = this.#last;
    const { stateDir, engineRoot, raised, report } = this.#options;
    const tables = { ...this.#tables, stateDir, engineRoot: engineRoot() };
    const found = readOnlyConditions(tables, { raised: raised(), writable: this.#writable, users: this.#users });
    const there = new Set(tables.host.map(({ device }) => device));
    this.#writable = new Set([...this.#writable, ...writableIn(tables)].filter((device) => there.has(device)));
    report(found);
  }

  /** Whom the file system of these mounts concerns. */
  concernOf(isMeant: (mount: MountEntry) => boolean): Concern {
    this.#read(true);
    const { stateDir, engineRoot } = this.#options;
    return concernOf(isMeant, { ...this.#tables, stateDir, engineRoot: engineRoot() }, this.#users);
  }

  /** The same for the one that a path lies on. */
  concernOfPath(path: string): Concern {
    this.#read(true);
    const device = mountOf(this.#tables.host, path)?.device;
    return this.concernOf((mount) => mount.device === device);
  }

  /** False: this host shows no mount table. `wholly`: the tables of the containers, too, whatever the host's says. */
  #read(wholly: boolean): boolean {
    const host = this.#table('self');
    if (host === null) return false;
    const { clock, containers } = this.#options;
    const running = containers();
    const who = running.map(({ workload, pid }) => `${pid} ${workload}`).join('\n');
    const now = clock.monotonic();
    if (!wholly && host === this.#lastHost && who === this.#lastRunning && now - this.#readAt < containersEveryMs) return true;
    this.#lastHost = host;
    this.#lastRunning = who;
    this.#readAt = now;
    const inside = running.flatMap(({ workload, pid }) => {
      const table = this.#table(String(pid));
      return table === null ? [] : [{ workload, table }];
    });
    const all = [host, ...inside.map(({ workload, table }) => `${workload}\n${table}`)].join('\n');
    if (all === this.#last) return true;
    this.#last = all;
    this.#tables = {
      host: parseMountinfo(host),
      containers: inside.map(({ workload, table }) => ({ workload, mounts: parseMountinfo(table) })),
    };
    this.#users = usersOf(this.#tables, this.#users);
    return true;
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
