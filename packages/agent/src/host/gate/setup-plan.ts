/** Which host commands are still due in this boot. Pure. */
import { createHash } from 'node:crypto';
import type { SetupStep } from '../../config/spec.ts';

/** What the state directory remembers. */
export interface SetupRecord {
  readonly bootId: string;
  /** Name of a step → what it was when it succeeded. */
  readonly done: Readonly<Record<string, string>>;
  /** The step under way, so that an agent that was killed in the middle of one finds it again. */
  readonly running: { readonly pid: number; readonly startTicks: number } | null;
}

/** What makes a step another one: its commands. Its name, deadline and attempts do not. */
export function stepDigest({ run, verify }: Pick<SetupStep, 'run' | 'verify'>): string {
  return createHash('sha256')
    .update(JSON.stringify([run, verify]))
    .digest('hex')
    .slice(0, 16);
}

/** In order; all of them after a boot, afterwards those that changed or never succeeded. */
export function dueSteps(steps: readonly SetupStep[], record: SetupRecord | null, bootId: string): readonly SetupStep[] {
  const done = record?.bootId === bootId ? record.done : {};
  return steps.filter((step) => done[step.name] !== stepDigest(step));
}

export function withDone(record: SetupRecord, step: SetupStep): SetupRecord {
  return { ...record, done: { ...record.done, [step.name]: stepDigest(step) } };
}

const retryMsMin = 5_000;
const retryMsMax = 300_000;

/** Milliseconds to the next round after the `failures`-th one in a row; `random` in [0, 1) varies it by ±25 %. */
export function retryDelayMs(failures: number, random: number): number {
  return Math.round(Math.min(retryMsMax, retryMsMin * 2 ** Math.max(0, failures - 1)) * (0.75 + 0.5 * random));
}
