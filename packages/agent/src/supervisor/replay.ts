/**
 * Decides again what was decided: the pure transition over the recorded inputs. Every step is compared with what was recorded
 * then; the first that differs is named. Pure.
 */
import type { Effect } from './event.ts';
import { type Digest, digestOf, type JournalInput, type JournalRecord, type JournalSnapshot } from './journal.ts';
import type { WorkloadState } from './state.ts';
import { transition } from './transition.ts';

export interface ReplayedStep {
  readonly input: JournalInput;
  readonly snapshot: JournalSnapshot;
  readonly before: WorkloadState;
  readonly after: WorkloadState;
  readonly effects: readonly Effect[];
  /** State and effects are what they were when it happened. */
  readonly exact: boolean;
}

export interface Mismatch {
  /** Of the input, counted from 1 over the whole record. */
  readonly input: number;
  readonly at: number;
  readonly type: string;
  readonly recordedBy: string;
  readonly why: string;
}

export interface Replay {
  readonly steps: readonly ReplayedStep[];
  readonly snapshots: readonly JournalSnapshot[];
  /** Records that are not whole; what stood between one and the next snapshot cannot be replayed. */
  readonly damaged: number;
  /** Whole inputs that were skipped because something before them is damaged. */
  readonly skipped: number;
  readonly mismatches: readonly Mismatch[];
}

/** @param records in the order of writing; undefined: a damaged one */
export function replay(records: readonly (JournalRecord | undefined)[], digest: Digest): Replay {
  const steps: ReplayedStep[] = [];
  const snapshots: JournalSnapshot[] = [];
  const mismatches: Mismatch[] = [];
  let present: { readonly snapshot: JournalSnapshot; state: WorkloadState } | null = null;
  let damaged = 0;
  let skipped = 0;
  let inputs = 0;
  for (const record of records) {
    if (record === undefined) {
      damaged += 1;
      present = null;
    } else if (record.kind === 'snapshot') {
      if (record.why === 'segment' && present !== null && JSON.stringify(record.state) !== JSON.stringify(present.state)) {
        const why = 'the state that was written down here is another one than the inputs lead to';
        mismatches.push({ input: inputs, at: record.at, type: 'snapshot', recordedBy: record.version, why });
      }
      snapshots.push(record);
      present = { snapshot: record, state: record.state };
    } else {
      inputs += 1;
      if (present === null) {
        skipped += 1;
        continue;
      }
      const step = replayStep(present.snapshot, present.state, record, digest);
      const { version } = present.snapshot;
      const why = 'state or effects are not what they were';
      if (!step.exact) mismatches.push({ input: inputs, at: record.at, type: record.event.type, recordedBy: version, why });
      steps.push(step);
      present.state = step.after;
    }
  }
  return { steps, snapshots, damaged, skipped, mismatches };
}

function replayStep(snapshot: JournalSnapshot, before: WorkloadState, input: JournalInput, digest: Digest): ReplayedStep {
  const { spec, ownerId } = snapshot;
  const { state, effects } = transition(before, input.event, { now: input.now, random: input.random, spec, ownerId });
  return { input, snapshot, before, after: state, effects, exact: digestOf(state, effects, digest) === input.digest };
}
