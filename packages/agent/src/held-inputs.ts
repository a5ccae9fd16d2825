/**
 * While a workload is held: are the files and variables it was made from different now? A cheap look (stat) every two seconds,
 * variables every thirty, and nothing at all while nothing is held. Directories and sockets do not count: they change all the time.
 */
import { type BigIntStats, readFileSync } from 'node:fs';
import { lstat, stat, statfs } from 'node:fs/promises';
import type { Clock, Timer } from '@relight/shared/clock';
import type { ErrorCode } from '@relight/shared/errors';
import { inodesOf, tablesOf } from '@relight/shared/port-holder';
import { isFuse, readMountinfo } from './stages/proc.ts';
import type { InputFile } from './input-files.ts';

const lookMs = 2_000;
/** A variable may be a call to a cloud. */
const variablesMs = 30_000;
/** As the alert of a full disk: below this share nothing has been freed that lasts. */
const roomyShare = 0.05;

export interface HeldInputsOptions {
  readonly clock: Clock;
  readonly files: () => readonly InputFile[];
  /** Whose free space ends a hold for want of it. */
  readonly disks: readonly string[];
  /** Null: no variable is resolved by a command. */
  readonly resolveVars: () => ((signal: AbortSignal) => Promise<Readonly<Record<string, string>>>) | null;
  /** `container`: only a new container reads what has changed. */
  readonly onChanged: (what: readonly string[], container: boolean) => void;
}

interface HeldPort {
  readonly number: number;
  /** Somebody was seen to have it when the attempt failed. */
  readonly taken: boolean;
  /** A process that sees it. Default: it is a port of this host's network. */
  readonly network?: number | undefined;
}

/** Why it is held, and the port that somebody else has. */
export interface Held {
  readonly code: ErrorCode;
  readonly port: HeldPort | null;
}

type Seen = ReadonlyMap<string, string>;

export class HeldInputs {
  readonly #options: HeldInputsOptions;
  readonly #abort = new AbortController();
  #held: ErrorCode | null = null;
  #port: HeldPort | null = null;
  #vars: Readonly<Record<string, string>> | null = null;
  #before: Promise<Seen> | null = null;
  #looking = false;
  #timer: Timer | null = null;
  #variablesAt = 0;

  constructor(options: HeldInputsOptions) {
    this.#options = options;
  }

  /** An attempt begins: this is what it is made from. Resolves when it has been seen; never rejects. */
  async remember(): Promise<void> {
    this.#before = this.#look();
    await this.#before;
  }

  /**
   * @param held null: it is not, and nothing is looked at
   * @param vars of the attempt that failed
   */
  set(held: Held | null, vars: Readonly<Record<string, string>> | null): void {
    this.#vars = vars;
    this.#port = held?.port ?? null;
    this.#setCode(held?.code ?? null);
  }

  #setCode(held: ErrorCode | null): void {
    if (held === this.#held) return;
    this.#held = held;
    this.#timer?.cancel();
    this.#timer = null;
    if (held === null || this.#abort.signal.aborted) return;
    this.#variablesAt = this.#options.clock.monotonic();
    this.#before ??= this.#look();
    this.#schedule();
  }

  dispose(): void {
    this.#abort.abort();
    this.#timer?.cancel();
  }

  #schedule(): void {
    this.#timer = this.#options.clock.after(lookMs, () => void this.#compare());
  }

  /** One look at a time: one that hangs is not followed by another. */
  async #compare(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const port = this.#port;
      const before = new Map(await this.#before);
      // When the attempt began nobody knew that a port would be missing.
      if (port?.taken === true) before.set(keyOf(port), before.get(keyOf(port)) ?? taken);
      const now = await this.#look();
      const changed = [...now].filter(([what, seen]) => isChange(before.get(what), seen)).map(([what]) => what);
      const variables = await this.#changedVariables();
      if (this.#held === null || this.#abort.signal.aborted) return;
      this.#schedule();
      // What is seen for the first time is what it is compared with from now on.
      this.#before = Promise.resolve(changed.length === 0 ? new Map([...now, ...before]) : now);
      if (changed.length === 0 && variables.length === 0) return;
      const container = this.#options.files().some((file) => file.container && changed.includes(file.path));
      this.#options.onChanged([...changed, ...variables.map((name) => `variable ${name}`)], container);
    } finally {
      this.#looking = false;
    }
  }

  async #look(): Promise<Seen> {
    const fuse = (readMountinfo('/proc', process.pid) ?? []).filter(isFuse).map(({ mountPoint }) => `${mountPoint}/`);
    const seen = new Map<string, string>();
    for (const { path, container } of this.#options.files()) {
      // A file system that hangs would hold a thread of ours for ever.
      if (fuse.some((mountPoint) => path.startsWith(mountPoint))) continue;
      const facts = await (container ? stat : lstat)(path, { bigint: true }).catch(() => null);
      if (facts === null) seen.set(path, 'absent');
      else if (facts.isFile() || facts.isSymbolicLink()) seen.set(path, identityOf(facts));
    }
    if (this.#port !== null) seen.set(keyOf(this.#port), isListening(this.#port) ? taken : 'free');
    if (this.#held !== 'disk-full') return seen;
    for (const disk of this.#options.disks) {
      const facts = await statfs(disk).catch(() => null);
      if (facts !== null && facts.blocks > 0)
        seen.set(`free space of ${disk}`, facts.bavail / facts.blocks >= roomyShare ? 'roomy' : short);
    }
    return seen;
  }

  async #changedVariables(): Promise<readonly string[]> {
    const { clock } = this.#options;
    const resolveVars = this.#options.resolveVars();
    const before = this.#vars;
    if (resolveVars === null || before === null || clock.monotonic() - this.#variablesAt < variablesMs) return [];
    this.#variablesAt = clock.monotonic();
    const now = await resolveVars(this.#abort.signal).catch(() => null);
    if (now === null) return [];
    this.#vars = now;
    return Object.keys(now).filter((name) => now[name] !== before[name]);
  }
}

const short = 'short';
const taken = 'taken';
const keyOf = ({ number }: HeldPort): string => `port ${number}`;
/** What is looked at for the first time tells nothing, and neither does what has become worse. */
const isChange = (before: string | undefined, now: string): boolean =>
  before !== undefined && before !== now && now !== short && now !== taken;

/** Never throws. */
function isListening({ number, network }: HeldPort): boolean {
  return tablesOf('tcp', network).some((table) => {
    try {
      return inodesOf(readFileSync(table, 'utf8'), number, 'tcp').length > 0;
    } catch {
      return false;
    }
  });
}

const identityOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string => [dev, ino, size, mtimeNs, ctimeNs].join(' ');
