/** Before a process that uses TPUs: what a dead container or an earlier run of ours left on them goes. */
import type { Op } from '../supervisor/op.ts';
import { parseRunId } from '../supervisor/run-id.ts';
import { containerOf } from './context.ts';
import type { StageContext } from './stage.ts';

const removeMs = 5_000;

export async function freeTpus({ run, remedy }: Extract<Op, { kind: 'process' }>, context: StageContext): Promise<void> {
  const { accelerators, spec, engine, generation, signal } = context;
  if (accelerators === undefined) return;
  const containerId = containerOf(context);
  const afterBusy = remedy === 'tpu-busy';
  if (afterBusy) context.progress('free the TPU of orphans, and wait for its driver');
  const killed = await accelerators.freeTpus(
    spec.container,
    {
      workload: spec.name,
      containerId,
      generation,
      nextRun: parseRunId(run.runId)?.n ?? 0,
      afterBusy,
      removeInContainer: async (path) => {
        await engine.exec(containerId, { argv: ['rm', '-f', path], user: '0' }, { timeoutMs: removeMs, signal });
      },
    },
    signal,
  );
  if (killed.length === 0) return;
  const message = `killed what an earlier life left on the TPU: ${killed.join(', ')}`;
  context.emit({ kind: 'process.killed', severity: 'warning', message, data: { code: 'tpu-busy', level: 'process', killed } });
}
