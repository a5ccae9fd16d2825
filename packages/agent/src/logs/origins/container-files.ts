/**
 * `logs.files`: files inside the containers, which come, go, and are rotated by their own writers. Each file is a segment of
 * its own, known by container, inode and birth; its name is only what it is called by readers. What is found is held by a
 * descriptor, so a file that is renamed or deleted is still read to its end.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { onBeat } from '@relight/shared/beat';
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { NewAgentEvent } from '@relight/shared/event';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { Logger } from 'pino';
import type { ContainerFacts } from '../../engine/engine.ts';
import type { LogShipper } from '../log-shipper.ts';
import { ContainerRoot, type FoundFile, type Listings } from './container-root.ts';
import { loadKnownFiles, saveKnownFiles, type KnownFiles } from './known-files.ts';
import { type PathPattern, parsePathPattern } from './path-pattern.ts';

export interface ContainerFilesOptions {
  readonly shipper: LogShipper;
  readonly clock: Clock;
  readonly emit: (event: Omit<NewAgentEvent, 'at'>) => void;
  readonly logger: Pick<Logger, 'warn'>;
  /** `logs.files` of a workload. */
  readonly patternsOf: (workload: string) => readonly string[];
  /** Where it is written down under which name a file was first seen. */
  readonly directory: string;
  readonly procRoot?: string;
}

interface Held {
  readonly key: SegmentKey;
  readonly descriptor: number;
  size: bigint;
  grownAt: number;
  /** When it was first seen without a name; null: it has one. */
  deletedAt: number | null;
  /** Not followed any more: others needed the place. Once it grows it is again. */
  parked: boolean;
}

interface Watched {
  facts: ContainerFacts;
  readonly patterns: readonly PathPattern[];
  readonly listings: Listings;
  readonly files: Map<string, Held>;
  /** Sizes of those that were quiet for long and made room: they are taken up when they are found with another one. */
  readonly retired: Map<string, bigint>;
  readonly told: Set<string>;
}

const lookMs = 1_000;
/** So many times as long as the last one took: names by the thousand, in directories that change all the time, cost 5 % of a core at most. */
const restPerLook = 20;
/** Followed at once, of one workload: each has two descriptors and a watch. */
const followedMax = 256;
/** With those that were read to their end and may yet grow. */
const heldMax = 1_024;
/** As many names as are looked at. */
const retiredMax = 20_000;
/** A deleted file may still be written to, also one that had long been quiet before. */
const quietMs = 10_000;
/** One that was quiet for so long makes room for another. */
const idleMs = 30_000;
/** Of one container: it may have a name for each of thousands. */
const toldMax = 10;

export class ContainerFiles {
  readonly #options: ContainerFilesOptions;
  readonly #procRoot: string;
  readonly #watched = new Map<string, Watched>();
  readonly #knownPath: string;
  #known: KnownFiles;
  #knownChanged = false;
  #timer: Timer | null = null;

  constructor(options: ContainerFilesOptions) {
    this.#options = options;
    this.#procRoot = options.procRoot ?? '/proc';
    this.#knownPath = join(options.directory, 'files.json');
    const { known, note } = loadKnownFiles(this.#knownPath);
    this.#known = known;
    if (note !== null) options.logger.warn({ path: this.#knownPath, reason: note }, 'what files of containers were called is forgotten');
  }

  /** `facts`: of a container that is ours, as the engine has just told. */
  seen(facts: ContainerFacts): void {
    const workload = facts.labels['relight.workload'];
    const before = this.#watched.get(facts.id);
    const isAlive = (facts.status === 'running' || facts.status === 'paused') && facts.pid > 0;
    if (before !== undefined && (!isAlive || before.facts.pid !== facts.pid)) this.#over(before);
    if (!isAlive || workload === undefined) return;
    const current = this.#watched.get(facts.id);
    if (current !== undefined) {
      current.facts = facts;
      return;
    }
    const patterns = this.#options.patternsOf(workload).flatMap((text) => {
      const pattern = parsePathPattern(text);
      return typeof pattern === 'string' ? [] : [pattern];
    });
    if (patterns.length === 0) return;
    const watched = { facts, patterns, listings: new Map(), files: new Map(), retired: new Map(), told: new Set<string>() };
    this.#watched.set(facts.id, watched);
    this.#look(watched);
    this.#later();
  }

  /** Of all containers that are ours: of what is not among them any more, nothing has to be remembered. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const [id, watched] of this.#watched) if (!ids.has(id)) this.#over(watched);
    const short = new Set([...ids].map((id) => id.slice(0, 12)));
    for (const run of Object.keys(this.#known)) {
      if (short.has(run.slice(0, 12))) continue;
      delete this.#known[run];
      this.#knownChanged = true;
    }
    this.#save();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#save();
    for (const { files } of this.#watched.values()) for (const { descriptor } of files.values()) fs.closeSync(descriptor);
    this.#watched.clear();
  }

  #later(afterMs = lookMs): void {
    const { clock } = this.#options;
    const look = (): void => {
      this.#timer = null;
      const began = clock.monotonic();
      for (const watched of this.#watched.values()) this.#look(watched);
      if (this.#watched.size > 0) this.#later(Math.max(lookMs, (clock.monotonic() - began) * restPerLook));
    };
    this.#timer ??= afterMs === lookMs ? onBeat(clock, lookMs, look) : clock.after(afterMs, look);
  }

  #look(watched: Watched): void {
    try {
      this.#measure(watched);
      const root = ContainerRoot.open(this.#procRoot, watched.facts.pid, watched.facts.id);
      if (root === null) return; // it ends: the engine will say so
      try {
        for (const pattern of watched.patterns) {
          root.find(pattern, watched.listings, this.#options.clock.now(), (file) => this.#found(watched, file));
        }
      } finally {
        root.close();
      }
      for (const trouble of root.troubles) this.#tell(watched, trouble);
    } catch (error) {
      this.#tell(watched, errorMessage(error));
    }
    this.#save();
  }

  /** False: there is no room for more. */
  #found(watched: Watched, { descriptor, name, stats }: FoundFile): boolean {
    const { facts, files, retired } = watched;
    const run = `${facts.id.slice(0, 12)}.${stats.ino}.${(stats.birthtimeNs / 1_000n).toString(36)}`;
    if (files.has(run) || retired.get(run) === stats.size) {
      fs.closeSync(descriptor);
      return true;
    }
    if (!this.#makeRoom(watched)) {
      fs.closeSync(descriptor);
      this.#tell(watched, `more than ${files.size >= heldMax ? heldMax : followedMax} files: the others are left out until one is quiet`);
      return false;
    }
    retired.delete(run);
    const key = this.#known[run] ?? {
      workload: facts.labels['relight.workload'] ?? facts.name,
      generation: Number(facts.labels['relight.generation'] ?? 0),
      source: `file:${name}`,
      run,
    };
    this.#known[run] = key;
    this.#knownChanged = true;
    const held: Held = { key, descriptor, size: stats.size, grownAt: this.#options.clock.monotonic(), deletedAt: null, parked: false };
    files.set(run, held);
    this.#follow(held);
    return true;
  }

  #follow({ key, descriptor }: Held): void {
    // What this number stands for once it was closed is not what was meant.
    const isHeld = (): boolean =>
      [...this.#watched.values()].some(({ files }) =>
        [...files.values()].some((held) => held.key === key && held.descriptor === descriptor),
      );
    const path = `/proc/${process.pid}/fd/${descriptor}`;
    const open = (): number | null => (isHeld() ? fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK) : null);
    this.#options.shipper.follow({ key, path, format: 'raw', foreign: { open } });
  }

  /** Sizes, from the descriptors: whatever the files are called by now. */
  #measure({ files }: Watched): void {
    const now = this.#options.clock.monotonic();
    for (const [run, held] of files) {
      const { nlink, size } = fs.fstatSync(held.descriptor, { bigint: true });
      if (size !== held.size) {
        held.size = size;
        held.grownAt = now;
        if (held.parked && this.#followed(files) < followedMax) {
          held.parked = false;
          this.#follow(held);
        }
      }
      held.deletedAt = nlink === 0n ? (held.deletedAt ?? now) : null;
      if (held.deletedAt !== null && now - Math.max(held.grownAt, held.deletedAt) >= quietMs) {
        this.#finish(held);
        files.delete(run);
        delete this.#known[run];
        this.#knownChanged = true;
      }
    }
  }

  #makeRoom({ files, retired }: Watched): boolean {
    if (files.size >= heldMax) {
      const [quietest] = [...files].filter(([, { parked }]) => parked).toSorted(([, a], [, b]) => a.grownAt - b.grownAt);
      if (quietest === undefined) return false;
      const [run, held] = quietest;
      this.#finish(held);
      files.delete(run);
      retired.set(run, held.size);
      this.#forgetRetired(retired);
    }
    if (this.#followed(files) < followedMax) return true;
    const idle = [...files.values()].filter(({ parked }) => !parked).toSorted((a, b) => a.grownAt - b.grownAt)[0];
    if (idle === undefined || this.#options.clock.monotonic() - idle.grownAt < idleMs) return false;
    idle.parked = true;
    this.#options.shipper.finish(idle.key);
    return true;
  }

  /** They may be gone, and nobody looks. One that is not comes once more, and is known to the collector. */
  #forgetRetired(retired: Watched['retired']): void {
    const oldest = retired.size > retiredMax ? retired.keys().next().value : undefined;
    if (oldest === undefined) return;
    retired.delete(oldest);
    delete this.#known[oldest];
    this.#knownChanged = true;
  }

  #followed(files: Watched['files']): number {
    let count = 0;
    for (const { parked } of files.values()) if (!parked) count += 1;
    return count;
  }

  #finish(held: Held): void {
    if (!held.parked) this.#options.shipper.finish(held.key);
    fs.closeSync(held.descriptor);
  }

  #over(watched: Watched): void {
    this.#watched.delete(watched.facts.id);
    for (const held of watched.files.values()) this.#finish(held);
    watched.files.clear();
  }

  #tell({ facts, told }: Watched, trouble: string): void {
    if (told.has(trouble) || told.size >= toldMax) return;
    told.add(trouble);
    this.#options.emit({
      kind: 'log.gap',
      severity: 'warning',
      workload: facts.labels['relight.workload'] ?? facts.name,
      message: `not all files of logs.files are collected: ${trouble}`,
      data: { containerId: facts.id, reason: 'unreadable-files', trouble },
    });
  }

  #save(): void {
    if (!this.#knownChanged) return;
    this.#knownChanged = false;
    try {
      saveKnownFiles(this.#knownPath, this.#known);
    } catch (error) {
      this.#options.logger.warn({ path: this.#knownPath, error: errorMessage(error) }, 'what files are called could not be written down');
    }
  }
}
