/** Sets a container aside: the name is free within milliseconds, then its death is made certain. */
import { RelightError } from '@relight/shared/errors';
import { managedLabels } from '../engine/create-options.ts';
import type { Op } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

/** The engine's own default, for containers that say nothing. */
const stopGraceMs = 10_000;

export async function retire(op: Extract<Op, { kind: 'retire' }>, context: StageContext): Promise<{ readonly kind: 'retire' }> {
  const { engine, spec, signal } = context;
  try {
    await setAside(op, context);
    // Looked at only now: somebody's `docker restart` may have started it until the rename.
    const facts = await engine.inspect(op.containerId, { signal });
    if (facts !== null && facts.pid > 0) {
      if (!op.graceful) await engine.kill(op.containerId, 'SIGKILL', { signal });
      // Also after a kill: it returns when the container has stopped, with its ports and devices free.
      await engine.stop(op.containerId, op.graceful ? (spec.container.stopGracePeriodMs ?? stopGraceMs) : 0, { signal });
    }
  } catch (thrown) {
    // Gone, or removing itself (--rm), which cannot be set aside: as good.
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
    if (!(thrown instanceof RelightError) || signal.aborted) throw thrown;
    const earlier = await engine.inspect(asName, { signal });
    // Done before a crash.
    if (earlier?.id === containerId) return;
    if (thrown.code !== 'name-conflict') throw thrown;
    // One of ours that was set aside before is in the way; anybody else's stays.
    if (earlier !== null && earlier.labels[managedLabels.agent] !== ownerId) throw thrown;
    if (earlier !== null) await engine.remove(earlier.id, { signal });
    await engine.rename(containerId, asName, { signal });
  }
}
