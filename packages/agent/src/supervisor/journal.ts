/**
 * The record of everything that reached the supervisor, so that its decisions can be made again later (replay.ts). JSON lines:
 * a snapshot, then the inputs that followed it. Pure; workload-journal.ts keeps the files.
 *
 * An input that changed nothing and led to nothing is left out: without it the next one meets the same state. That is what
 * makes a quiet host write nothing.
 */
import type { WorkloadSpec } from '../config/spec.ts';
import type { Effect, SupervisorEvent } from './event.ts';
import type { WorkloadState } from './state.ts';

/** Where a replay can begin. */
export interface JournalSnapshot {
  readonly kind: 'snapshot';
  /** By the wall clock, epoch milliseconds. */
  readonly at: number;
  /** `start`: a life of the agent begins here; `gap`: inputs before it are missing; `segment`: nothing is missing. */
  readonly why: 'start' | 'gap' | 'segment';
  /** Of the agent that wrote it: another version may decide otherwise. */
  readonly version: string;
  readonly ownerId: string;
  readonly spec: WorkloadSpec;
  /** All of it, with what is not durable. */
  readonly state: WorkloadState;
}

export interface JournalInput {
  readonly kind: 'input';
  /** By the wall clock, epoch milliseconds. */
  readonly at: number;
  /** By the supervisor's clock, which never jumps: what the decision was made with. */
  readonly now: number;
  readonly random: number;
  readonly event: SupervisorEvent;
  /** Of the state and the effects that it led to. */
  readonly digest: string;
}

export type JournalRecord = JournalSnapshot | JournalInput;

/** A short digest of a text. */
export type Digest = (text: string) => string;

export const digestOf = (state: WorkloadState, effects: readonly Effect[], digest: Digest): string =>
  digest(JSON.stringify([state, effects]));

/** Whether a replay can do without this input. */
export function changedNothing(before: WorkloadState, after: WorkloadState, effects: readonly Effect[]): boolean {
  return effects.length === 0 && (before === after || JSON.stringify(before) === JSON.stringify(after));
}

export const encodeRecord = (record: JournalRecord): string => `${JSON.stringify(record)}\n`;

/** Undefined for a line that is not a whole record: the agent was killed, or the disk was full, in the middle of it. */
export function decodeRecord(line: string): JournalRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('kind' in value) || !('at' in value)) return undefined;
  if (value.kind === 'snapshot' && 'state' in value && 'spec' in value) return value as JournalSnapshot;
  if (value.kind === 'input' && 'event' in value && 'digest' in value) return value as JournalInput;
  return undefined;
}

/** Keys under which free text travels; what stands under any other key is a name, an id or a number. */
const textKeys: ReadonlySet<string> = new Set(['message', 'reason', 'error', 'advice', 'lastLines', 'data', 'failedOptional', 'warnings']);

/**
 * What programs, engine and people wrote, freed of secrets. Done before the supervisor sees it, so that neither its state, its events
 * nor the journal ever hold one, and a replay meets exactly what it met. Names and ids stay as they are: they must be found again.
 */
export function withoutSecrets<T>(value: T, redact: <V>(value: V) => V): T {
  if (Array.isArray(value)) return value.map((item) => withoutSecrets<unknown>(item, redact)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, textKeys.has(key) ? redact<unknown>(inner) : withoutSecrets<unknown>(inner, redact)]),
  ) as T;
}
