/**
 * Looks for files below a container's root, as root of the host, in a file system that somebody else arranges: no link is ever
 * followed by the kernel, and no file system that may not answer is entered.
 *
 * - Each name is opened by itself below the descriptor of its directory (`/proc/self/fd/N/name`, O_PATH | O_NOFOLLOW): what is
 *   swapped meanwhile is opened as what it is, and a link is only ever opened as a link.
 * - A link's text is followed here, name by name, from the container's root or the directory it lies in; `..` goes back along
 *   the directories that were opened, and never above the root.
 * - Before a name is opened, the container's mount table says what lies there; after it, the kernel says on which mount it
 *   really lies (`mnt_id`). The descriptor holds that mount, so its number means no other one.
 * - O_PATH opens neither a FIFO nor a device, and asks no file system for anything.
 */
import * as fs from 'node:fs';
import { answering, mountIdOf } from '../../stages/held-file.ts';
import { parseMountinfo, readCgroup, topMountAt, type MountEntry } from '../../stages/proc.ts';
import type { NamePattern, PathPattern } from './path-pattern.ts';

export interface FoundFile {
  /** O_PATH; whoever is given it closes it. */
  readonly descriptor: number;
  /**
   * As the pattern says, behind its fixed part: `raylet.out`, `node-1/raylet.out`. Fit to name a stream: what is not to be seen
   * is U+FFFD, and of a very long one the end is left.
   */
  readonly name: string;
  readonly stats: fs.BigIntStats;
}

/** What was found in directories whose time tells that nothing has changed since. Kept by the caller, from look to look. */
export type Listings = Map<string, { readonly state: string; readonly names: readonly string[] }>;

interface Directory {
  readonly fd: number;
  /** Inside the container, links resolved. */
  readonly path: string;
  readonly mount: number;
  readonly parent: Directory | null;
}

interface Search {
  readonly pattern: PathPattern;
  readonly listings: Listings;
  readonly now: number;
  readonly found: (file: FoundFile) => boolean;
  readonly seen: Set<string>;
  /** False: it was ended early. */
  whole: boolean;
}

interface Step {
  readonly name: NamePattern;
  /** Part of the stream's name. Not so what a link says. */
  readonly shown: boolean;
}

/** As the kernel allows. */
const linksMax = 40;
const depthMax = 64;
/** Characters. It goes with every block. */
const nameLengthMax = 256;
/** In one look: descriptors are opened and names are read on the agent's own time. */
const opensMax = 20_000;
const namesMax = 20_000;
/** The time of a directory has a resolution; what was changed just now may be changed again at the same time. */
const settledMs = 2_000;

const { O_PATH, O_NOFOLLOW, O_DIRECTORY, S_IFMT, S_IFLNK, S_IFDIR, S_IFREG } = { O_PATH: 0o10000000, ...fs.constants };

export class ContainerRoot {
  readonly #procRoot: string;
  readonly #pid: number;
  readonly #root: Directory;
  readonly #mounts: readonly MountEntry[];
  readonly #isUsable: boolean;
  #search!: Search;
  #opens = 0;
  /** Something was not looked at, for which a person can do something. */
  readonly troubles = new Set<string>();

  /** Null when `pid` is not, or not any more, a process of the container. Throws errno errors. */
  static open(procRoot: string, pid: number, containerId: string): ContainerRoot | null {
    let fd: number;
    try {
      fd = fs.openSync(`${procRoot}/${pid}/root`, O_PATH | O_DIRECTORY);
    } catch (error) {
      if (isGone(error)) return null;
      throw error;
    }
    try {
      // After the open: a number that meanwhile is somebody else's would lead into the host itself.
      const text = readCgroup(procRoot, pid)?.includes(containerId) === true ? readText(`${procRoot}/${pid}/mountinfo`) : null;
      if (text !== null && text !== '') return new ContainerRoot(procRoot, pid, fd, text);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    fs.closeSync(fd);
    return null;
  }

  private constructor(procRoot: string, pid: number, fd: number, mountinfo: string) {
    this.#procRoot = procRoot;
    this.#pid = pid;
    this.#mounts = parseMountinfo(mountinfo);
    this.#root = { fd, path: '', mount: mountIdOf(fd), parent: null };
    const type = typeOfMount(mountinfo, this.#root.mount);
    this.#isUsable = type !== null && answering.has(type);
    if (!this.#isUsable) this.troubles.add(`the container's own file system is ${type ?? 'unknown'}: not entered`);
  }

  close(): void {
    fs.closeSync(this.#root.fd);
  }

  /**
   * Regular files that the pattern matches. Of a directory that has not changed since the look that left `listings`, only
   * links are followed again: its files are known. Ends early when `found` says false; that one keeps the descriptor anyway.
   */
  find(pattern: PathPattern, listings: Listings, now: number, found: (file: FoundFile) => boolean): void {
    if (!this.#isUsable) return;
    const steps = pattern.names.map((name, index) => ({ name, shown: index >= pattern.fixed }));
    this.#search = { pattern, listings, now, found, seen: new Set(), whole: true };
    let whole = false;
    try {
      this.#walk(this.#root, steps, [], 0, 0);
      ({ whole } = this.#search);
    } finally {
      // What was not reached must be looked for again, and a directory that is gone is not remembered.
      for (const key of listings.keys()) {
        if (key.startsWith(`${pattern.text}\0`) && (!whole || !this.#search.seen.has(key))) listings.delete(key);
      }
    }
  }

  #walk(directory: Directory, steps: readonly Step[], shown: readonly string[], links: number, depth: number): void {
    const [step, ...rest] = steps;
    if (step === undefined || depth > depthMax) return;
    const { literal } = step.name;
    if (literal === '..') return this.#walk(directory.parent ?? directory, rest, shown, links, depth + 1);
    if (literal !== null) return this.#enter(directory, literal, rest, step.shown ? [...shown, literal] : shown, links, depth);
    for (const name of this.#list(directory, step, rest.length)) {
      if (!this.#search.whole) return;
      this.#enter(directory, name, rest, [...shown, name], links, depth);
    }
  }

  #enter(parent: Directory, name: string, rest: readonly Step[], shown: readonly string[], links: number, depth: number): void {
    const path = `${parent.path}/${name}`;
    const opened = this.#open(parent, name, path);
    if (opened === null) return;
    const { fd, mount } = opened;
    let given = false;
    try {
      const stats = fs.fstatSync(fd, { bigint: true });
      const kind = Number(stats.mode) & S_IFMT;
      if (kind === S_IFLNK) return this.#follow(parent, name, rest, shown, links + 1, depth + 1);
      if (kind === S_IFDIR && rest.length > 0) return this.#walk({ fd, path, mount, parent }, rest, shown, links, depth + 1);
      if (kind !== S_IFREG || rest.length > 0) return;
      given = true;
      if (!this.#search.found({ descriptor: fd, name: visible(shown.join('/')), stats })) this.#search.whole = false;
    } finally {
      if (!given) fs.closeSync(fd);
    }
  }

  #follow(parent: Directory, name: string, rest: readonly Step[], shown: readonly string[], links: number, depth: number): void {
    if (links > linksMax) return;
    const target = linkText(`/proc/self/fd/${parent.fd}/${name}`);
    if (target === null) return;
    const names = target.split('/').filter((part) => part !== '' && part !== '.');
    const steps = names.map((part) => ({ name: { literal: part, matches: () => false }, shown: false }));
    this.#walk(target.startsWith('/') ? this.#root : parent, [...steps, ...rest], shown, links, depth);
  }

  /** Null: it is not there, or lies where nothing of ours may go. */
  #open(parent: Directory, name: string, path: string): { readonly fd: number; readonly mount: number } | null {
    this.#opens += 1;
    if (this.#opens > opensMax) {
      this.troubles.add(`more than ${opensMax} names were looked at; the rest is left out: make the patterns narrower`);
      this.#search.whole = false;
      return null;
    }
    const before = topMountAt(this.#mounts, path);
    if (before !== null && !answering.has(before.fsType)) return this.#refused(path, before.fsType);
    let fd: number;
    try {
      fd = fs.openSync(`/proc/self/fd/${parent.fd}/${name}`, O_PATH | O_NOFOLLOW);
    } catch (error) {
      // EACCES, ESTALE and so on: of no use to us, and the container's own business.
      if (isLimit(error)) throw error;
      return null;
    }
    let kept = false;
    try {
      const mount = mountIdOf(fd);
      if (mount !== parent.mount) {
        const type = typeOfMount(readText(`${this.#procRoot}/${this.#pid}/mountinfo`) ?? '', mount);
        // Another overlay may have anything below it, also what hangs.
        if (type === null || !answering.has(type) || (type === 'overlay' && mount !== this.#root.mount)) {
          return this.#refused(path, type ?? 'unknown');
        }
      }
      kept = true;
      return { fd, mount };
    } finally {
      if (!kept) fs.closeSync(fd);
    }
  }

  #refused(path: string, type: string): null {
    this.troubles.add(`${path} lies on a file system of type ${type}, which is never entered from the host`);
    return null;
  }

  #list(directory: Directory, step: Step, left: number): readonly string[] {
    const { pattern, listings, now, seen } = this.#search;
    const { dev, ino, mtimeNs, mtimeMs } = fs.fstatSync(directory.fd, { bigint: true });
    const key = `${pattern.text}\0${left}\0${directory.path}`;
    const state = `${dev}.${ino}.${mtimeNs}`;
    seen.add(key);
    const known = listings.get(key);
    if (known?.state === state) return known.names;
    const entries = readNames(directory.fd, (name) => step.name.matches(name));
    if (entries.length >= namesMax) this.troubles.add(`${directory.path} holds ${namesMax} names or more; the rest is left out`);
    const names = entries.map(({ name }) => name);
    const isSettled = now - Number(mtimeMs) > settledMs;
    if (isSettled) {
      const links = entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name);
      listings.set(key, { state, names: left === 0 ? links : names });
    }
    return names;
  }
}

function readNames(fd: number, wanted: (name: string) => boolean): fs.Dirent[] {
  let directory: fs.Dir;
  try {
    directory = fs.opendirSync(`/proc/self/fd/${fd}`, { bufferSize: 256 });
  } catch (error) {
    if (isLimit(error)) throw error;
    return [];
  }
  try {
    const entries: fs.Dirent[] = [];
    for (let count = 0; count < namesMax; count += 1) {
      const entry = directory.readSync();
      if (entry === null) return entries;
      if (wanted(entry.name)) entries.push(entry);
    }
    return entries;
  } finally {
    directory.closeSync();
  }
}

/** A program in a container makes the names, and a newline in one would be no source that a collector takes. */
function visible(name: string): string {
  const clean = name.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\ufffd');
  return clean.length <= nameLengthMax ? clean : `…${clean.slice(1 - nameLengthMax).replace(/^[\udc00-\udfff]/, '')}`;
}

/** Null: the process does not have this mount, for instance because it was detached a moment ago. */
function typeOfMount(mountinfo: string, id: number): string | null {
  const line = mountinfo.split('\n').find((candidate) => candidate.startsWith(`${id} `));
  return line?.split(' - ')[1]?.split(' ')[0] ?? null;
}

function linkText(path: string): string | null {
  try {
    return fs.readlinkSync(path);
  } catch (error) {
    if (isLimit(error)) throw error;
    return null; // it is something else by now
  }
}

function readText(path: string): string | null {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

const isGone = (error: unknown): boolean => ['ENOENT', 'ESRCH', 'EINVAL', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '');
/** Of the agent, not of the file. */
const isLimit = (error: unknown): boolean => ['EMFILE', 'ENFILE', 'ENOMEM'].includes((error as NodeJS.ErrnoException).code ?? '');
