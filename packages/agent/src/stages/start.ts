import { RelightError } from '@relight/shared/errors';
import { holderOfPort } from '@relight/shared/port-holder';
import { portOf } from '../supervisor/classify.ts';
import type { Op, OpValue } from '../supervisor/op.ts';
import { runningContainer } from './context.ts';
import type { StageContext } from './stage.ts';

/** Fails with the engine's word, or with container-exited when it did not live until the second look. */
export async function start(
  { containerId }: Extract<Op, { kind: 'start' }>,
  context: StageContext,
): Promise<Extract<OpValue, { kind: 'start' }>> {
  try {
    await context.engine.start(containerId, { signal: context.signal });
  } catch (thrown) {
    throw await withPortHolder(thrown);
  }
  const facts = await runningContainer({ ...context, containerId });
  return { kind: 'start', pid: facts.pid, startedAt: facts.startedAt ?? context.clock.now() };
}

/** A port that is taken has a holder, and whoever reads of it wants to know whom to ask. */
async function withPortHolder(thrown: unknown): Promise<unknown> {
  if (!(thrown instanceof RelightError) || thrown.code !== 'port-taken') return thrown;
  const port = portOf(thrown.message);
  const holder = port === null ? null : await holderOfPort(port, 'tcp');
  if (port === null) return thrown;
  return new RelightError('port-taken', thrown.message, {
    cause: thrown,
    data: { ...thrown.data, port, ...(holder === null ? {} : { holder }) },
  });
}
