/** One setup step: attempts with a deadline each, then its proof. */
import { delay } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { formatDurationMs } from '@relight/shared/units';
import type { Command, SetupStep } from '../config/spec.ts';
import type { Op, OpValue, RunRef } from '../supervisor/op.ts';
import { containerOf, endedWithin, throwIfAborted } from './context.ts';
import { classify } from '../supervisor/classify.ts';
import { adviseStaging } from '../supervisor/staging.ts';
import { describeExit, lastLines, splitLines, tailBytes, withOutput } from './output.ts';
import { namedRun } from './named-run.ts';
import { lacksSpace } from './run-space.ts';
import type { StageContext } from './stage.ts';

type SetupValue = Extract<OpValue, { kind: 'setup' }>;

/** Fails with setup-failed or setup-unverified, unless the step is optional. */
export async function setup(op: Extract<Op, { kind: 'setup' }>, context: StageContext): Promise<SetupValue> {
  const step = context.spec.setup[op.index];
  if (step?.kind !== 'step') throw new RelightError('internal', `setup[${op.index}] is not a step`);
  if (op.verifyFirst && step.verify !== null) {
    context.progress(`setup: ${step.name}, verify`);
    if ((await execute(step.verify, namedRun(op.run, `${step.name} verify`), step.timeoutMs, context)).failure === null) {
      return { kind: 'setup', skipped: true, failedOptional: null };
    }
  }
  const failure = await attempts(step, op.run, context);
  if (failure === null) return { kind: 'setup', skipped: false, failedOptional: null };
  if (!step.optional) throw failure;
  return { kind: 'setup', skipped: false, failedOptional: failure.message };
}

async function attempts(step: SetupStep, run: RunRef, context: StageContext): Promise<RelightError | null> {
  const { clock, signal } = context;
  const total = Math.max(1, step.retry.attempts);
  for (let attempt = 1; ; attempt += 1) {
    context.progress(`setup: ${step.name}, attempt ${attempt}/${total}`);
    const facts = { step: step.name, attempt, attempts: total };
    context.emit({
      kind: 'setup.step-started',
      severity: 'info',
      message: `setup "${step.name}": attempt ${attempt} of ${total}`,
      data: facts,
    });
    const began = clock.monotonic();
    const failure = await oneAttempt(step, run, context);
    const durationMs = Math.round(clock.monotonic() - began);
    if (failure === null) {
      const message = `setup "${step.name}" done in ${formatDurationMs(durationMs)}`;
      context.emit({ kind: 'setup.step-done', severity: 'info', message, data: { ...facts, durationMs } });
      return null;
    }
    const last = attempt >= total;
    context.emit({
      kind: 'setup.step-failed',
      severity: last && !step.optional ? 'error' : 'warning',
      message: `${failure.message} (attempt ${attempt} of ${total}${step.optional ? ', optional' : ''})`,
      data: { ...facts, ...failure.data, code: failure.code, optional: step.optional, durationMs },
    });
    // What no repetition mends is not repeated here either.
    if (last || !failure.recoverable) return failure;
    context.progress(`setup: ${step.name}, attempt ${attempt + 1}/${total} in ${formatDurationMs(step.retry.delayMs)}`);
    await delay(clock, step.retry.delayMs, signal).catch(() => throwIfAborted(signal));
  }
}

async function oneAttempt(step: SetupStep, run: RunRef, context: StageContext): Promise<RelightError | null> {
  const ran = await execute(step.run, run, step.timeoutMs, context);
  if (ran.failure !== null && ran.exitCode === null && (await lacksSpace(context.agent.stateDir))) {
    const lost = `${context.agent.stateDir} has no space left, so nobody can know how it ended`;
    return new RelightError('disk-full', `setup "${step.name}": ${lost}`, { data: { step: step.name, path: context.agent.stateDir } });
  }
  if (ran.failure !== null) {
    const known = adviseStaging(classify('setup', ran.lines, ran.exitCode), context.spec.mounts);
    return new RelightError(known?.code ?? 'setup-failed', withOutput(`setup "${step.name}": ${ran.failure}`, ran.output), {
      data: { step: step.name, exitCode: ran.exitCode, lastLine: lastLines(ran.output, 1) },
      ...(known === null ? {} : { recoverable: known.recoverable, advice: known.advice }),
    });
  }
  if (step.verify === null) return null;
  const verified = await execute(step.verify, namedRun(run, `${step.name} verify`), step.timeoutMs, context);
  if (verified.failure === null) return null;
  return new RelightError(
    'setup-unverified',
    withOutput(`setup "${step.name}" ran, but verify says ${verified.failure}`, verified.output),
    {
      data: { step: step.name, exitCode: verified.exitCode, lastLine: lastLines(verified.output, 1) },
    },
  );
}

interface Execution {
  /** Null: exit code 0. */
  readonly failure: string | null;
  readonly exitCode: number | null;
  /** Its last lines; '' after success. */
  readonly output: string;
  readonly lines: readonly string[];
}

/** A deadline ends the whole run, with everything it has started. */
async function execute(command: Command, run: RunRef, timeoutMs: number, context: StageContext): Promise<Execution> {
  const { runs, spec, generation, vars, signal } = context;
  const containerId = containerOf(context);
  const handle = await runs.start({ run, containerId, generation, workload: spec.name, command, shell: spec.shell, env: vars }, signal);
  const exit = await endedWithin(context, timeoutMs, (within) => runs.exited(handle, containerId, within));
  if (exit?.exitCode === 0) return { failure: null, exitCode: 0, output: '', lines: [] };
  if (exit === null) await runs.stop([run], containerId, 0, signal);
  const text = await runs.tail(run, spec.name, generation, tailBytes);
  const failure = exit === null ? `not done within ${formatDurationMs(timeoutMs)}` : describeExit(exit);
  return { failure, exitCode: exit?.exitCode ?? null, output: lastLines(text, 3), lines: splitLines(text) };
}
