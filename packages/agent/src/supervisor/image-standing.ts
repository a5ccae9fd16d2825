/**
 * What of a workload's state counts while another configuration of it waits for an image (config/image-wait.ts), and when the image is
 * asked for again. Pure.
 */
import type { Standing } from '../config/image-wait.ts';
import type { RestartPolicy } from '../config/spec.ts';
import { lookAfterMs } from './hold.ts';
import { blocked } from './host-word.ts';
import type { Failure } from './op.ts';
import { decideRestart, noRestarts, type RestartHistory } from './restart-policy.ts';
import type { WorkloadState } from './state.ts';

export const standingOf = ({ generation, held, finished }: WorkloadState): Standing => ({
  hasRun: generation > 0,
  given: held === null ? (finished === null ? null : 'finished') : 'held',
});

/** Why nothing is pulled, and nothing taken up, at present; null: nothing is in the way. */
export function haltedBy(state: WorkloadState): string | null {
  const { pause, engine } = state;
  if (pause !== null) return `it is paused: ${pause.reason}`;
  if (!engine.up) return `the engine does not answer: ${engine.reason}`;
  return blocked(state);
}

export interface ImageTries {
  /** Of failures that may pass. */
  readonly history: RestartHistory;
  /** How often it was looked for in vain after a failure that does not. */
  readonly looks: number;
}

export const noTries: ImageTries = { history: noRestarts, looks: 0 };

/** Spaced as attempts to make a container are; where trying again is useless, it is looked for ever more slowly. */
export function nextTry(
  { history, looks }: ImageTries,
  { recoverable }: Pick<Failure, 'recoverable'>,
  policy: RestartPolicy,
  now: number,
  random: number,
): { readonly tries: ImageTries; readonly delayMs: number } {
  if (!recoverable) return { tries: { history, looks: looks + 1 }, delayMs: lookAfterMs(policy.maxMs, looks) };
  const decision = decideRestart(policy, history, now, false, random);
  return { tries: { history: decision.history, looks: 0 }, delayMs: decision.delayMs };
}
