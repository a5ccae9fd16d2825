/** Stops a container that is to be started again. Its name stays. */
import type { Op } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

/** The engine's own default, for containers that say nothing. */
const stopGraceMs = 10_000;

export async function halt({ containerId }: Extract<Op, { kind: 'halt' }>, context: StageContext): Promise<{ readonly kind: 'halt' }> {
  const { engine, spec, signal } = context;
  // With a process of ours, the container's own command only holds it open: no grace is owed to it.
  const graceMs = spec.process === null ? (spec.container.stopGracePeriodMs ?? stopGraceMs) : 0;
  if (graceMs === 0) await engine.kill(containerId, 'SIGKILL', { signal });
  // Also after a kill: it returns when the container has stopped, with its ports and devices free.
  await engine.stop(containerId, graceMs, { signal });
  return { kind: 'halt' };
}
