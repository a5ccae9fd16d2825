import type { Op } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

/** A mount's daemon is killed at once: it is stopped only because it is dead, hung, or about to go with its container. */
export async function stopRuns(
  { runs, graceful }: Extract<Op, { kind: 'stop-runs' }>,
  context: StageContext,
): Promise<{ readonly kind: 'stop-runs' }> {
  const { containerId, spec, signal } = context;
  if (containerId === null) return { kind: 'stop-runs' };
  const mounts = runs.filter(({ kind }) => kind === 'mount');
  const others = runs.filter(({ kind }) => kind !== 'mount');
  await context.runs.stop(others, containerId, graceful ? (spec.process?.stopTimeoutMs ?? 0) : 0, signal);
  await context.runs.stop(mounts, containerId, 0, signal);
  return { kind: 'stop-runs' };
}
