/** Sets a container aside: the name is free within milliseconds, then its death is made certain. */
import { RelightError } from '@relight/shared/errors';
import { managedLabels } from '../engine/create-options.ts';
import { refusesToRenameWhileRunning } from '../engine/errors.ts';
import type { Op } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

/** The engine's own default, for containers that say nothing. */
const stopGraceMs = 10_000;

type RetireOp = Extract<Op, { kind: 'retire' }>;

export async function retire(op: RetireOp, context: StageContext): Promise<{ readonly kind: 'retire' }> {
  const { engine, signal } = context;
  try {
    const refused = await setAside(op, context);
    await end(op, context);
    if (refused !== null) await setAsideDead(op, context);
  } catch (thrown) {
    // Gone, or removing itself (--rm), which cannot be set aside: as good.
    if (signal.aborted || (await engine.inspect(op.containerId, { signal })) !== null) throw thrown;
  }
  return { kind: 'retire' };
}

async function end({ containerId, graceful }: RetireOp, { engine, spec, signal }: StageContext): Promise<void> {
  // Looked at only now: somebody's `docker restart` may have started it until the rename.
  const facts = await engine.inspect(containerId, { signal });
  if (facts === null || facts.pid === 0) return;
  if (!graceful) await engine.kill(containerId, 'SIGKILL', { signal });
  // Also after a kill: it returns when the container has stopped, with its ports and devices free.
  await engine.stop(containerId, graceful ? (spec.container.stopGracePeriodMs ?? stopGraceMs) : 0, { signal });
}

/** Null: it has that name now. Else why the engine does not rename what runs; with any other trouble, what runs goes on. */
async function setAside({ containerId, asName }: RetireOp, { engine, ownerId, signal }: StageContext): Promise<RelightError | null> {
  try {
    await engine.rename(containerId, asName, { signal });
  } catch (thrown) {
    if (!(thrown instanceof RelightError) || signal.aborted) throw thrown;
    const earlier = await engine.inspect(asName, { signal });
    // Done before a crash.
    if (earlier?.id === containerId) return null;
    if (refusesToRenameWhileRunning(thrown)) return thrown;
    if (thrown.code !== 'name-conflict') throw thrown;
    // One of ours that was set aside before is in the way; anybody else's stays.
    if (earlier !== null && earlier.labels[managedLabels.agent] !== ownerId) throw thrown;
    if (earlier !== null) await engine.remove(earlier.id, { signal });
    await engine.rename(containerId, asName, { signal });
  }
  return null;
}

/**
 * An engine may refuse to rename what runs, for as long as it runs: with `"bridge": "none"` Docker 20.10 does ("sandbox … not found")
 * once a container was started a second time. Where it refuses for a dead one as well, nothing but its files is left of it, and it goes.
 * One that was adopted stays: the next one is made with its anonymous volumes, which would go with it.
 */
async function setAsideDead(op: RetireOp, context: StageContext): Promise<void> {
  const refused = await setAside(op, context);
  if (refused === null) return;
  const { engine, spec, signal } = context;
  const { name } = spec.container;
  const { message, data } = refused;
  const why = `the old container ${name} could not be set aside, for the engine does not rename it: ${message}`;
  if (spec.container.adopt !== undefined) {
    const advice = `Rename it (docker rename ${name} ${op.asName}); if that is refused as well, restart the engine. It is tried again by itself.`;
    throw new RelightError('engine-error', why, { cause: refused, advice, data });
  }
  // It may be evidence that somebody reads.
  await context.beforeRemoval?.(op.containerId);
  await engine.remove(op.containerId, { signal });
  context.emit({
    kind: 'host.notice',
    severity: 'warning',
    message: `${why}; it was removed`,
    data: { ...data, containerId: op.containerId },
  });
}
