/** A replay for people and as JSON. Pure. */
import { isoTime } from '@relight/shared/api';
import type { Mismatch, Replay, ReplayedStep } from '../supervisor/replay.ts';
import { decisionTexts, inputText } from '../supervisor/replay-words.ts';

/** Epoch milliseconds, both included. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface ReplayDocument {
  readonly workload: string;
  readonly incident: string | null;
  readonly from: string | null;
  readonly to: string | null;
  /** Versions of the agent that recorded it, and the one that decided again. */
  readonly recordedBy: readonly string[];
  readonly replayedBy: string;
  /** Every decision, also outside the span, is the one that was taken. */
  readonly exact: boolean;
  readonly inputs: number;
  readonly damaged: number;
  readonly skipped: number;
  readonly mismatches: readonly (Omit<Mismatch, 'at'> & { readonly at: string })[];
  readonly steps: readonly {
    readonly at: string;
    /** From the first step shown. */
    readonly afterMs: number;
    readonly input: string;
    readonly decisions: readonly string[];
    readonly phase: string;
    readonly reason: string;
    readonly exact: boolean;
    readonly event: unknown;
  }[];
}

/** @param shown the steps of interest; exactness is a matter of all of them */
export function replayDocument(
  workload: string,
  incident: string | null,
  { steps, snapshots, damaged, skipped, mismatches }: Replay,
  shown: readonly ReplayedStep[],
  version: string,
): ReplayDocument {
  const start = shown[0]?.input.at ?? 0;
  const times = shown.map(({ input }) => isoTime(input.at));
  return {
    workload,
    incident,
    from: times[0] ?? null,
    to: times.at(-1) ?? null,
    recordedBy: [...new Set(snapshots.map((snapshot) => snapshot.version))],
    replayedBy: version,
    exact: mismatches.length === 0,
    inputs: steps.length,
    damaged,
    skipped,
    mismatches: mismatches.map((mismatch) => ({ ...mismatch, at: isoTime(mismatch.at) })),
    steps: shown.map((step) => shownStep(step, start)),
  };
}

function shownStep(step: ReplayedStep, start: number): ReplayDocument['steps'][number] {
  const { input, after, exact } = step;
  return {
    at: isoTime(input.at),
    afterMs: input.at - start,
    input: inputText(step),
    decisions: decisionTexts(step),
    phase: after.phase,
    reason: after.reason,
    exact,
    event: input.event,
  };
}

export function replayLines(document: ReplayDocument): readonly string[] {
  const { workload, incident, from, to, recordedBy, replayedBy, inputs, exact, damaged, skipped, mismatches } = document;
  const what = incident === null ? '' : ` incident ${incident},`;
  return [
    `${workload}:${what} ${from ?? 'nothing'} to ${to ?? 'nothing'}`,
    `  ${inputs} inputs recorded by ${recordedBy.join(', ')}, decided again by ${replayedBy}: ${exact ? 'every decision is the same' : `${mismatches.length} differ`}`,
    ...mismatches.map(({ input, at, type, recordedBy: by, why }) => `  ! input ${input} (${type}, ${at}, recorded by ${by}): ${why}`),
    ...(damaged === 0 ? [] : [`  ! ${damaged} damaged record(s), ${skipped} input(s) behind them left out`]),
    '',
    ...document.steps
      .filter(({ decisions, event }) => decisions.length > 0 || (event as { readonly type: string }).type === 'op-done')
      .flatMap(({ afterMs, input, decisions }) => [
        `  ${offset(afterMs)}  ${printable(input)}`,
        ...decisions.map((decision) => `${' '.repeat(offsetWidth + 4)}→ ${printable(decision)}`),
      ]),
  ];
}

const offsetWidth = 12;
/** `+0.042 s`, right-aligned. */
export const offset = (ms: number): string => `+${(ms / 1_000).toFixed(3)} s`.padStart(offsetWidth);

/** Reasons quote what programs wrote: nothing of that may drive the terminal or break the line. */
export const printable = (line: string): string => line.replaceAll(/\p{Cc}+/gu, ' ').trimEnd();
