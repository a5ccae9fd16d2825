/**
 * `<state dir>/journal/<workload>/<n>.jsonl`: the last inputs of the supervisor of one workload (supervisor/journal.ts), in a few
 * segments of bounded size. Mode 0600: it holds what the state directory holds anyway, and no secret.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkloadSpec } from './config/spec.ts';
import type { Effect, SupervisorEvent } from './supervisor/event.ts';
import { changedNothing, decodeRecord, digestOf, encodeRecord, type JournalRecord, type JournalSnapshot } from './supervisor/journal.ts';
import type { WorkloadState } from './supervisor/state.ts';

/** 4 MiB a workload: some thousand failures with everything around them. */
export const journalLimits = { segmentBytes: 1024 * 1024, segments: 4 } as const;

export interface JournalOptions {
  readonly stateDir: string;
  readonly spec: WorkloadSpec;
  readonly ownerId: string;
  readonly version: string;
  /** The wall clock, epoch milliseconds. */
  readonly wallNow: () => number;
  /** Said once an outage; the journal goes on by itself when the disk takes something again. */
  readonly onTrouble: (message: string) => void;
  readonly limits?: { readonly segmentBytes: number; readonly segments: number };
}

export interface JournalStep {
  readonly at: number;
  readonly now: number;
  readonly random: number;
  readonly event: SupervisorEvent;
  readonly before: WorkloadState;
  readonly after: WorkloadState;
  readonly effects: readonly Effect[];
}

export class WorkloadJournal {
  readonly #options: JournalOptions;
  #spec: WorkloadSpec;
  readonly #limits: { readonly segmentBytes: number; readonly segments: number };
  readonly #directory: string;
  #pending: string[] = [];
  /** What must stand before the next input: nothing, when the last record leads to the present state. */
  #needs: JournalSnapshot['why'] | null = 'start';
  #segment: { readonly path: string; bytes: number } | null = null;
  #troubled = false;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#spec = options.spec;
    this.#limits = options.limits ?? journalLimits;
    this.#directory = journalDirectory(options.stateDir, options.spec.name);
  }

  /** From now on decisions follow this one: an adopted container has told what it is. */
  specChanged(spec: WorkloadSpec): void {
    this.#spec = spec;
    this.#needs = 'start';
  }

  /** Keeps a step in memory until `flush`. */
  record({ at, now, random, event, before, after, effects }: JournalStep): void {
    if (changedNothing(before, after, effects)) return;
    if (this.#needs !== null) this.#snapshot(before, this.#needs, at);
    this.#needs = null;
    this.#pending.push(encodeRecord({ kind: 'input', at, now, random, event, digest: digestOf(after, effects, shortDigest) }));
  }

  /** Writes what is kept. Never throws: supervision goes on without a journal. */
  flush(present: WorkloadState): void {
    if (this.#pending.length === 0) return;
    try {
      this.#write();
    } catch (error) {
      // Half a line may stand there now. The next segment begins with the state as it is then.
      if (this.#segment?.bytes === 0) rmSync(this.#segment.path, { force: true });
      this.#pending = [];
      this.#segment = null;
      this.#needs = 'gap';
      if (!this.#troubled) this.#options.onTrouble(error instanceof Error ? error.message : String(error));
      this.#troubled = true;
      return;
    }
    this.#troubled = false;
    if (this.#segment !== null && this.#segment.bytes >= this.#limits.segmentBytes) {
      this.#segment = null;
      this.#snapshot(present, 'segment', this.#options.wallNow());
    }
  }

  #snapshot(state: WorkloadState, why: JournalSnapshot['why'], at: number): void {
    const { version, ownerId } = this.#options;
    const spec = this.#spec;
    this.#pending.push(encodeRecord({ kind: 'snapshot', at, why, version, ownerId, spec, state }));
  }

  #write(): void {
    const text = this.#pending.join('');
    this.#segment ??= this.#nextSegment();
    // Only a new segment may be created: one that was deleted would go on without its beginning.
    const create = this.#segment.bytes === 0 ? constants.O_CREAT : 0;
    const file = openSync(this.#segment.path, constants.O_WRONLY | constants.O_APPEND | create, 0o600);
    try {
      appendFileSync(file, text);
    } finally {
      closeSync(file);
    }
    this.#segment.bytes += Buffer.byteLength(text);
    this.#pending = [];
  }

  /** The oldest goes before the new one comes: on a full disk that is what makes room. */
  #nextSegment(): { readonly path: string; bytes: number } {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const numbers = segmentNumbers(this.#directory);
    const last = numbers.at(-1) ?? 0;
    const lastPath = join(this.#directory, segmentName(last));
    // A new life of the agent goes on in the same file: starts must not push the past out.
    const lastBytes = last === 0 ? Number.POSITIVE_INFINITY : statSync(lastPath).size;
    if (!this.#troubled && lastBytes < this.#limits.segmentBytes && endsWhole(lastPath)) return { path: lastPath, bytes: lastBytes };
    const keep = this.#limits.segments - 1;
    for (const old of numbers.slice(0, Math.max(0, numbers.length - keep)))
      rmSync(join(this.#directory, segmentName(old)), { force: true });
    return { path: join(this.#directory, segmentName(last + 1)), bytes: 0 };
  }
}

export const journalDirectory = (stateDir: string, workload: string): string => join(stateDir, 'journal', workload);

export const shortDigest = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 16);

/** Everything that is there, oldest first; undefined for a damaged line. Empty when nothing was ever recorded. */
export function readJournal(directory: string): readonly (JournalRecord | undefined)[] {
  return segmentNumbers(directory).flatMap((number) =>
    readFileSync(join(directory, segmentName(number)), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map(decodeRecord),
  );
}

function segmentNumbers(directory: string): readonly number[] {
  let names: readonly string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names
    .flatMap((name) => {
      const match = /^(\d+)\.jsonl$/.exec(name);
      return match === null ? [] : [Number(match[1])];
    })
    .toSorted((a, b) => a - b);
}

const segmentName = (number: number): string => `${String(number).padStart(6, '0')}.jsonl`;

function endsWhole(path: string): boolean {
  return readFileSync(path).at(-1) === 0x0a;
}
