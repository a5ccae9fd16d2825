/** Purges what earlier runs left, runs `before` to its end, starts the process. */
import { RelightError } from '@relight/shared/errors';
import type { Op, OpValue } from '../supervisor/op.ts';
import { containerOf } from './context.ts';
import { classify } from '../supervisor/classify.ts';
import { describeExit, lastLines, splitLines, tailBytes, withOutput } from './output.ts';
import { freeTpus } from './free-tpus.ts';
import { namedRun } from './named-run.ts';
import { setSessionAside } from './stale-session.ts';
import type { StageContext } from './stage.ts';

export async function startProcess(
  op: Extract<Op, { kind: 'process' }>,
  context: StageContext,
): Promise<Extract<OpValue, { kind: 'process' }>> {
  const { spec, runs, vars, signal } = context;
  const containerId = containerOf(context);
  if (spec.process === null) throw new RelightError('internal', 'the workload has no process to start');
  if (op.leftovers.length > 0) {
    context.progress('purge what the last run left');
    await runs.stop(op.leftovers, containerId, 0, signal);
  }
  if (op.remedy === 'stale-session') await setSessionAside(op, context);
  const request = { containerId, generation: context.generation, workload: spec.name, shell: spec.shell, env: vars };
  if (spec.process.before !== null) {
    context.progress('process: before');
    const run = namedRun(op.run, 'before');
    const handle = await runs.start({ ...request, run, command: spec.process.before }, signal);
    const exit = await runs.exited(handle, containerId, signal);
    if (exit.exitCode !== 0) {
      const text = await runs.tail(run, spec.name, context.generation, tailBytes);
      const known = classify('process', splitLines(text), exit.exitCode);
      throw new RelightError(known?.code ?? 'process-exited', withOutput(`"before" failed: ${describeExit(exit)}`, lastLines(text, 3)), {
        data: { exitCode: exit.exitCode, signal: exit.signal, command: 'before' },
        ...(known === null ? {} : { recoverable: known.recoverable, advice: known.advice }),
      });
    }
  }
  await freeTpus(op, context);
  context.progress('start the process');
  return { kind: 'process', run: await runs.start({ ...request, run: op.run, command: spec.process.run }, signal) };
}
