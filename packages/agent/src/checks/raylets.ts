/** Which raylets run in a container, and which have run there: what the head cannot know yet. */
import type { Clock } from '@relight/shared/clock';
import { runChild } from '@relight/shared/child';
import { canRun, listPids, readCgroup, readStat } from '../stages/proc.ts';
import { type LocalRaylets, nodeIdOf } from './ray-nodes.ts';

/** A command line is read by a child: behind a hung mount it blocks. */
const cmdlineTimeoutMs = 1_000;
/** Node ids that are remembered as gone; a head forgets them within half a minute. */
const goneMax = 64;

export class Raylets {
  readonly #clock: Clock;
  readonly #procRoot: string;
  /** By pid and start time, of every raylet that runs: its node id, null when it cannot be told. */
  readonly #ids = new Map<string, string | null>();
  readonly #gone = new Set<string>();

  constructor({ clock, procRoot = '/proc' }: { readonly clock: Clock; readonly procRoot?: string }) {
    this.#clock = clock;
    this.#procRoot = procRoot;
  }

  async look(containerId: string, signal: AbortSignal): Promise<LocalRaylets> {
    const { raylets, launchers } = this.#find(containerId);
    for (const [key, id] of this.#ids) {
      if (raylets.has(key)) continue;
      this.#ids.delete(key);
      if (id !== null) this.#remember(id);
    }
    for (const [key, pid] of raylets) {
      if (!this.#ids.has(key)) this.#ids.set(key, await this.#nodeId(pid, signal));
    }
    const running = [...this.#ids.values()].filter((id) => id !== null);
    return { running, gone: this.#gone, starting: raylets.size === 0 && launchers > 0 };
  }

  /** Living raylets of the container, by pid and start time, and how many processes of the command `ray` there are. */
  #find(containerId: string): { readonly raylets: ReadonlyMap<string, number>; readonly launchers: number } {
    const raylets = new Map<string, number>();
    let launchers = 0;
    for (const pid of listPids(this.#procRoot)) {
      const stat = readStat(this.#procRoot, pid);
      if (stat === null || !canRun(stat) || (stat.comm !== 'raylet' && stat.comm !== 'ray')) continue;
      if (readCgroup(this.#procRoot, pid)?.includes(containerId) !== true) continue;
      if (stat.comm === 'ray') launchers += 1;
      else raylets.set(`${pid} ${stat.startTicks}`, pid);
    }
    return { raylets, launchers };
  }

  async #nodeId(pid: number, signal: AbortSignal): Promise<string | null> {
    const child = await runChild({
      argv: ['cat', `${this.#procRoot}/${pid}/cmdline`],
      clock: this.#clock,
      timeoutMs: cmdlineTimeoutMs,
      signal,
      env: { PATH: process.env['PATH'] },
    });
    return nodeIdOf(child.stdout);
  }

  #remember(id: string): void {
    this.#gone.add(id);
    const [oldest] = this.#gone;
    if (this.#gone.size > goneMax && oldest !== undefined) this.#gone.delete(oldest);
  }
}
