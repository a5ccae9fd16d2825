/** What another configuration would have decided, beside what was decided. Pure. */
import { formatDurationMs } from '@relight/shared/units';
import { compareWorkload } from '../config/impact.ts';
import type { WorkloadSpec } from '../config/spec.ts';
import type { ReplayedStep } from '../supervisor/replay.ts';
import { type Decision, recordedDecisions } from '../supervisor/decisions.ts';
import { horizonMs, whatIf } from '../supervisor/what-if.ts';
import { offset, printable } from './replay-view.ts';

export interface WhatIfDocument {
  readonly config: string;
  /** Fields in which the two configurations differ. */
  readonly changes: readonly string[];
  readonly recorded: readonly ShownDecision[];
  readonly simulated: readonly ShownDecision[];
  /** From the first failure to lasting readiness; null: not within the record, or not within a day. */
  readonly recordedReadyAfterMs: number | null;
  readonly readyAfterMs: number | null;
  readonly phase: string;
  readonly reason: string;
  readonly assumptions: readonly string[];
}

interface ShownDecision {
  readonly afterMs: number;
  readonly kind: string;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const assumptions: readonly string[] = [
  'a process or container that is started lives as long as the recorded one of the same number; behind the last of them, they live on',
  'an operation takes as long and ends as the same one did then, behind the last as long as on average, and then it works',
  'engine, dependencies, gate and people do what they did at the same time after the beginning',
  'a check that failed until something was done about it goes on failing until something is done about it',
  'waits are without jitter',
];

/** @param steps not empty, without a gap */
export function whatIfDocument(config: string, steps: readonly ReplayedStep[], spec: WorkloadSpec): WhatIfDocument {
  const before = steps[0]?.snapshot.spec ?? spec;
  const changes = compareWorkload(before, spec);
  const beyond = changes.filter(({ impact }) => impact !== 'none').map(({ field }) => field);
  const recorded = recordedDecisions(steps);
  const { decisions, readyAfterMs, phase, reason } = whatIf(steps, spec);
  const last = recorded.at(-1);
  return {
    config,
    changes: changes.map(({ field }) => field),
    recorded: recorded.map(shown),
    simulated: decisions.map(shown),
    recordedReadyAfterMs: last?.event.kind === 'workload.ready' ? last.ms : null,
    readyAfterMs,
    phase,
    reason,
    assumptions:
      beyond.length === 0 ? assumptions : [...assumptions, `what runs behaves the same, although it differs in ${beyond.join(', ')}`],
  };
}

const shown = ({ ms, event }: Decision): ShownDecision => ({ afterMs: ms, kind: event.kind, message: event.message, data: event.data });

export function whatIfLines(document: WhatIfDocument): readonly string[] {
  const { config, changes, recorded, simulated, recordedReadyAfterMs, readyAfterMs, phase, reason } = document;
  const rows = Array.from({ length: Math.max(recorded.length, simulated.length) }, (_, i) => [recorded[i], simulated[i]] as const);
  return [
    `  The same failures with ${config} (${changes.length === 0 ? 'no difference' : `it differs in ${changes.join(', ')}`}):`,
    ...rows.flatMap(([then, now]) => [
      `    then ${line(then)}`,
      `    new  ${same(then, now) ? `${offset(now?.afterMs ?? 0)}  the same` : line(now)}`,
    ]),
    `  Ready again: then ${ready(recordedReadyAfterMs, 'not within the record')}, new ${ready(readyAfterMs, `not within ${formatDurationMs(horizonMs)}: ${phase}: ${printable(reason)}`)}.`,
    '  Taken for granted:',
    ...document.assumptions.map((assumption) => `    - ${assumption}`),
  ];
}

const line = (decision: ShownDecision | undefined): string =>
  decision === undefined
    ? `${offset(0).replaceAll(/./g, ' ')}  -`
    : `${offset(decision.afterMs)}  ${decision.kind}: ${printable(decision.message)}`;

const same = (then: ShownDecision | undefined, now: ShownDecision | undefined): boolean =>
  then !== undefined && now !== undefined && then.kind === now.kind && then.message === now.message;

const ready = (ms: number | null, otherwise: string): string => (ms === null ? otherwise : `after ${formatDurationMs(ms)}`);
