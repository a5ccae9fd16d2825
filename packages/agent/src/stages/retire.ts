/** Sets a container aside: the name is free within milliseconds, then its death is made certain. */
import { RelightError } from '@relight/shared/errors';
import { managedLabels } from '../engine/create-options.ts';
import type { Op } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

/** The engine's own default, for containers that say nothing. */
const stopGraceMs = 10_000;

export async function retire(op: Extract<Op, { kind: 'retire' }>, context: StageContext): Promise<{ readonly kind: 'retire' }> {
  const { engine, spec, signal } = context;
  const facts = await engine.inspect(op.containerId, { signal });
  if (facts === null) return { kind: 'retire' };
  try {
    if (facts.name !== op.asName) await setAside(op, context);
    if (facts.pid > 0) {
      if (!op.graceful) await engine.kill(op.containerId, 'SIGKILL', { signal });
      // Also after a kill: it returns when the container has stopped, with its ports and devices free.
      await engine.stop(op.containerId, op.graceful ? (spec.container.stopGracePeriodMs ?? stopGraceMs) : 0, { signal });
    }
  } catch (thrown) {
    // A container that removes itself (--rm) cannot be set aside: being gone is as good.
    if (signal.aborted || (await engine.inspect(op.containerId, { signal })) !== null) throw thrown;
  }
  return { kind: 'retire' };
}

async function setAside(
  { containerId, asName }: Extract<Op, { kind: 'retire' }>,
  { engine, ownerId, signal }: StageContext,
): Promise<void> {
  try {
    await engine.rename(containerId, asName, { signal });
  } catch (thrown) {
    if (!(thrown instanceof RelightError) || thrown.code !== 'name-conflict') throw thrown;
    const earlier = await engine.inspect(asName, { signal });
    // One of ours that was set aside before is in the way; anybody else's stays.
    if (earlier !== null && earlier.labels[managedLabels.agent] !== ownerId) throw thrown;
    if (earlier !== null) await engine.remove(earlier.id, { signal });
    await engine.rename(containerId, asName, { signal });
  }
}
