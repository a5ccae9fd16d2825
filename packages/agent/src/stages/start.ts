import type { Op, OpValue } from '../supervisor/op.ts';
import { runningContainer } from './context.ts';
import type { StageContext } from './stage.ts';

/** Fails with the engine's word, or with container-exited when it did not live until the second look. */
export async function start(
  { containerId }: Extract<Op, { kind: 'start' }>,
  context: StageContext,
): Promise<Extract<OpValue, { kind: 'start' }>> {
  await context.engine.start(containerId, { signal: context.signal });
  const facts = await runningContainer({ ...context, containerId });
  return { kind: 'start', pid: facts.pid, startedAt: facts.startedAt ?? context.clock.now() };
}
