/**
 * Files of runs on the host. One directory per workload and generation, bound at /run/relight; per run
 * `<n>.<kind>[-<name>][~k].log` and `.status`, k counting the starts of one run from the second on (retries of a step).
 *
 * The container's root may write into the directory, so every name in it is hostile: files are made with O_EXCL, opened
 * with O_NOFOLLOW and O_NONBLOCK (a pipe must not block the agent), and must be regular. So is their number: names are read up to a
 * bound, and counts in them have few digits (behind 2^53 one more is the same number, and a free name is looked for without end).
 */
import {
  chmodSync,
  closeSync,
  constants,
  type Dir,
  existsSync,
  fchmodSync,
  fstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import type { SegmentKey } from '@relight/shared/log-stream';
import type { SegmentFile } from '../logs/log-shipper.ts';
import type { RunHandle, RunRef } from '../supervisor/op.ts';
import { parseRunId } from '../supervisor/run-id.ts';
import { parseStatus } from './run-wrapper.ts';

/** Where the run directories of all workloads are. */
export const runRootOf = (stateDir: string): string => join(stateDir, 'runs');

export const runDirectoryOf = (runRoot: string, workload: string, generation: number): string =>
  join(runRoot, workload, String(generation));

/**
 * Of one directory, read on the agent's own time: 0.15 s for so many. An honest one has some hundred; while the collector is away each
 * run leaves three, and a process that fails every second is here after nine hours. Names like ours count as well as others: the
 * container can make them, too.
 */
const namesMax = 100_000;
/** As many as runs alone ever leave in one directory: the last one begins below the bound, and makes three. */
const fullMax = namesMax + 3;
/** Of the containers before the last two, together: two full ones. */
const earlierNamesMax = 2 * fullMax;
/** Names in a row that somebody in the container was faster with. */
const takenMax = 100;
/** As many as the pattern below reads; a directory has no room for more. */
const startsMax = 99_999;
const logName = /^(\d{1,9})\.(process|setup|mount)((?:-[\w.-]{1,48})?(?:~\d{1,5})?)\.log$/;

/** Of one start of a run. */
export interface RunFiles {
  readonly directory: string;
  /** `7.process`, `9.setup-ssh-keys~2` */
  readonly base: string;
  readonly log: string;
  readonly status: string;
  readonly segment: SegmentKey;
}

/** What a directory is called from then on that holds more than is ever read: given-up-logs.ts removes it. */
export const givenUpEnding = '.given-up';

/** Any user of the container may enter and append, none may list; the parents shut out the host's users. */
export function makeRunDirectory(runRoot: string, workload: string, generation: number, earlierMax = earlierNamesMax): string {
  for (const { directory, names } of readBefore(runRoot, workload, generation, earlierMax)) removeDelivered(directory, names);
  const directory = runDirectoryOf(runRoot, workload, generation);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o711);
  return directory;
}

/**
 * Makes the files of the next start of a run, empty, appendable by every user of the container. Fails with run-directory-lost where
 * the container has filled it with names: it is made anew, with a directory of its own.
 */
export function createRunFiles(runRoot: string, run: RunRef): RunFiles {
  const { workload, generation } = partsOf(run);
  const directory = runDirectoryOf(runRoot, workload, generation);
  if (!existsSync(directory)) makeRunDirectory(runRoot, workload, generation);
  const names = list(directory);
  if (names.length >= namesMax) throw new RelightError('run-directory-lost', `${directory} holds ${namesMax} files or more`);
  prune(directory, names);
  const first = (lastStarts(names, [run]).get(baseOf(run)) ?? 0) + 1;
  for (let start = first; start < first + takenMax && start <= startsMax; start += 1) {
    const files = filesOf(runRoot, run, start);
    try {
      createEmpty(files.log);
      createEmpty(files.status);
      return files;
    } catch (error) {
      // Somebody in the container was faster with this name.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  throw new RelightError('run-directory-lost', `in ${directory} every name for the files of a run is taken`);
}

/** The files of the last start of a run; null when there are none (never started, or the state directory was lost). */
export const findRunFiles = (runRoot: string, run: RunRef): RunFiles | null => findAllRunFiles(runRoot, [run])[0] ?? null;

/** Of each run. Their directory is read once: it may be full of names, and the runs may be many. */
export function findAllRunFiles(runRoot: string, runs: readonly RunRef[]): (RunFiles | null)[] {
  const directoryFor = (run: RunRef): string => runDirectoryOf(runRoot, partsOf(run).workload, partsOf(run).generation);
  const starts = new Map<string, ReadonlyMap<string, number>>();
  for (const [directory, its] of Map.groupBy(runs, directoryFor)) starts.set(directory, lastStarts(list(directory), its));
  return runs.map((run) => {
    const start = starts.get(directoryFor(run))?.get(baseOf(run)) ?? 0;
    return start === 0 ? null : filesOf(runRoot, run, start);
  });
}

/** The logs that the runs of one container have left. */
export interface LeftLogs {
  readonly workload: string;
  readonly generation: number;
  readonly directory: string;
  readonly count: number;
  /** Of the files; the oldest run's comes first. */
  names(): string[];
}

/**
 * The logs that runs of this host have left, the older container first, so that what an earlier agent did not deliver can be followed
 * again. A program in a container may have made files like these, so there may be very many of each workload: of the two directories
 * that may be in use only the names are kept, beside the heap, for runs of this agent come to them; the others are read once more.
 */
export function logsOnDisk(runRoot: string, earlierMax = earlierNamesMax): LeftLogs[] {
  return list(runRoot).flatMap((workload) => {
    const generations = generationsOf(runRoot, workload);
    const newest = Math.max(0, ...generations);
    const last = Math.max(0, ...generations.filter((generation) => generation < newest));
    const left: LeftLogs[] = [];
    for (const read of readBefore(runRoot, workload, newest, earlierMax)) left.push(leftLogs(read, read.generation === last));
    const directory = runDirectoryOf(runRoot, workload, newest);
    return [leftLogs({ workload, generation: newest, directory, names: list(directory) }, true), ...left].toReversed();
  });
}

function leftLogs({ workload, generation, directory, names }: ReadDirectory, inUse: boolean): LeftLogs {
  const logs = names.filter((name) => logName.test(name));
  // No name has a slash.
  const packed = inUse ? Buffer.from(logs.join('/'), 'latin1') : null;
  return {
    workload,
    generation,
    directory,
    count: logs.length,
    names: () => {
      const left = packed === null ? list(directory).filter((name) => logName.test(name)) : packed.toString('latin1').split('/');
      return left.filter((name) => name !== '').toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
    },
  };
}

/** Of one container. */
export function segmentsOf(runRoot: string, workload: string, generation: number): SegmentFile[] {
  const directory = runDirectoryOf(runRoot, workload, generation);
  return list(directory).flatMap((name) => segmentNamed({ workload, generation, directory }, name) ?? []);
}

/** Null: it is not called like the log of a run. */
export function segmentNamed({ workload, generation, directory }: Omit<ReadDirectory, 'names'>, name: string): SegmentFile | null {
  const match = logName.exec(name);
  if (match === null) return null;
  const [, n = '', source = '', rest = ''] = match;
  return { key: { workload, generation, source, run: n + rest }, path: join(directory, name), format: 'raw' };
}

/** Opens for reading without trusting the name. Null: it is not there, or it is not a regular file. */
export function openRegular(path: string): number | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENXIO') return null;
    throw error;
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  return null;
}

/** The exit status; null while the run is not over. */
export function readStatus(fd: number): number | null {
  const buffer = Buffer.alloc(8);
  return parseStatus(buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0)));
}

/** What is shown of the end of a file. `continued`: its first line has begun before. */
export type RedactTail = (tail: Buffer, continued: boolean) => string;

/** The last bytes of a log, from the beginning of a line when there is a whole one. Delivered parts may have become holes. */
export function readTail(path: string, bytes: number, redact: RedactTail = (tail) => tail.toString('utf8')): string {
  const fd = openRegular(path);
  if (fd === null) return '';
  try {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - bytes);
    const buffer = Buffer.alloc(size - from);
    const read = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, from));
    const newline = from > 0 ? read.indexOf(10) : -1;
    if (newline >= 0) return redact(read.subarray(newline + 1), false);
    // What was sent is a hole, which need not end with a line.
    const kept = read.findIndex((byte) => byte !== 0);
    return kept < 0 ? '' : redact(read.subarray(kept), from > 0 || kept > 0);
  } finally {
    closeSync(fd);
  }
}

/**
 * The log or status file of a living run whose directory was deleted: its wrapper still holds both, as `/proc/PID/fd/N`. Null: that
 * descriptor is called otherwise. Whether it is what it is called, only its opening tells (held-file.ts).
 */
export function heldFile(procRoot: string, run: RunHandle, descriptor: number): { readonly path: string; readonly base: string } | null {
  const path = `${procRoot}/${run.pid}/fd/${descriptor}`;
  try {
    const base = /([^/]+)\.(?:log|status)(?: \(deleted\))?$/.exec(readlinkSync(path))?.[1];
    return base === undefined || base.replace(/~\d{1,5}$/, '') !== baseOf(run) ? null : { path, base };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

/** The log of a run goes when it is delivered (logs/retention.ts); what stood beside it goes here. */
function prune(directory: string, names: readonly string[]): void {
  // Not all of them: the log of a run that still lives may be among the others.
  if (names.length >= namesMax) return;
  const logs = new Set(names.filter((name) => name.endsWith('.log')).map(withoutEnding));
  const stale = names.filter((name) => /^\d+\..*\.(?:status|session)$/.test(name) && !logs.has(withoutEnding(name)));
  for (const name of stale) {
    try {
      unlinkSync(join(directory, name));
    } catch {
      // A directory that the container has called so, or a disk that takes nothing: what stays is in nobody's way.
    }
  }
}

const generationsOf = (runRoot: string, workload: string): number[] =>
  list(join(runRoot, workload)).flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));

interface ReadDirectory {
  readonly workload: string;
  readonly generation: number;
  readonly directory: string;
  readonly names: readonly string[];
}

/**
 * The directories of earlier containers, one after the other, the newer first. The newest of them is never given up: beside a spare it is the one in use.
 * Of the others so many that they hold `max` names together, for each container may leave very many. One that holds more than is left is
 * given up, with what nobody has read of its logs, and is not read a second time.
 */
function* readBefore(runRoot: string, workload: string, before: number, max: number): Generator<ReadDirectory> {
  const earlier = generationsOf(runRoot, workload).filter((generation) => generation < before);
  const [last, ...others] = earlier.toSorted((a, b) => b - a);
  const read = (generation: number, most?: number): ReadDirectory => {
    const directory = runDirectoryOf(runRoot, workload, generation);
    return { workload, generation, directory, names: list(directory, most) };
  };
  if (last !== undefined) yield read(last);
  let left = max;
  for (const generation of others) {
    const one = read(generation, left + 1);
    if (one.names.length > left) {
      giveUp(one.directory);
    } else {
      left -= one.names.length;
      yield one;
    }
  }
}

function giveUp(directory: string): void {
  try {
    renameSync(directory, directory + givenUpEnding);
  } catch {
    // It is in nobody's way but for the time that it takes to be read again.
  }
}

/** An earlier generation's directory goes when nothing is left in it, neither a log nor something of the container's own. */
function removeDelivered(directory: string, names: readonly string[]): void {
  prune(directory, names);
  try {
    rmdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
  }
}

const withoutEnding = (name: string): string => name.replace(/\.\w+$/, '');

/** Where the lines of a run with this file name belong, when only the name is left. */
export function segmentOfBase(run: RunRef, base: string): SegmentKey {
  const { workload, generation } = partsOf(run);
  return { workload, generation, source: run.kind, run: base.replace(`.${run.kind}`, '') };
}

function filesOf(runRoot: string, run: RunRef, start: number): RunFiles {
  const { workload, generation, n } = partsOf(run);
  const directory = runDirectoryOf(runRoot, workload, generation);
  const again = start === 1 ? '' : `~${start}`;
  const base = `${baseOf(run)}${again}`;
  return {
    directory,
    base,
    log: join(directory, `${base}.log`),
    status: join(directory, `${base}.status`),
    segment: { workload, generation, source: run.kind, run: `${n}${nameSuffix(run)}${again}` },
  };
}

/** By `baseOf` each run. One that has no files is not in it. */
function lastStarts(names: readonly string[], runs: readonly RunRef[]): ReadonlyMap<string, number> {
  const wanted = new Set(runs.map(baseOf));
  const last = new Map<string, number>();
  for (const name of names) {
    const [, base = '', start = '1'] = /^([^~]+)(?:~(\d{1,5}))?\.log$/.exec(name) ?? [];
    if (wanted.has(base)) last.set(base, Math.max(last.get(base) ?? 0, Number(start)));
  }
  return last;
}

/** What the names of its first start begin with. */
const baseOf = (run: RunRef): string => `${partsOf(run).n}.${run.kind}${nameSuffix(run)}`;

const nameSuffix = (run: RunRef): string => (run.name === '' ? '' : `-${run.name.replaceAll(/[^\w.-]+/g, '-').slice(0, 48)}`);

/** Who the run belongs to. A run that Relight did not number is a defect. */
export function partsOf(run: RunRef): { readonly workload: string; readonly generation: number; readonly n: number } {
  const parts = parseRunId(run.runId);
  if (parts === undefined) throw new RelightError('internal', `"${run.runId}" is not the id of a run`);
  return parts;
}

function createEmpty(path: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  fchmodSync(fd, 0o622);
  closeSync(fd);
}

function list(path: string, max = fullMax): string[] {
  let directory: Dir;
  try {
    directory = opendirSync(path, { bufferSize: 256 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
  try {
    const names: string[] = [];
    for (let entry = directory.readSync(); entry !== null && names.length < max; entry = directory.readSync()) names.push(entry.name);
    return names;
  } finally {
    directory.closeSync();
  }
}
