import { RelightError, toRelightError } from '@relight/shared/errors';
import type { ContainerFacts } from '../engine/engine.ts';
import type { StageContext } from './stage.ts';

/** The container under work. Its absence here is a defect of whoever chose the operation. */
export function containerOf(context: StageContext): string {
  if (context.containerId === null) throw new RelightError('internal', 'the operation needs a container and there is none');
  return context.containerId;
}

/** The running container's facts. Fails with container-removed or container-exited. */
export async function runningContainer(context: StageContext): Promise<ContainerFacts> {
  const id = containerOf(context);
  const facts = await context.engine.inspect(id, { signal: context.signal });
  if (facts === null) throw new RelightError('container-removed', 'the container was removed meanwhile');
  if (facts.pid === 0) {
    const why = facts.oomKilled ? ', out of memory' : '';
    throw new RelightError(
      facts.oomKilled ? 'container-oom' : 'container-exited',
      `the container exited with ${facts.exitCode ?? 'an unknown code'}${why}`,
      {
        data: { exitCode: facts.exitCode, error: facts.error },
      },
    );
  }
  return facts;
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw toRelightError(signal.reason, 'cancelled');
}

/** Waits at most `timeoutMs` for a run to end; null: it goes on. */
export async function endedWithin<T>(
  context: StageContext,
  timeoutMs: number,
  ended: (signal: AbortSignal) => Promise<T>,
): Promise<T | null> {
  const give = new AbortController();
  const timer = context.clock.after(timeoutMs, () => give.abort());
  try {
    return await ended(AbortSignal.any([context.signal, give.signal]));
  } catch (error) {
    throwIfAborted(context.signal);
    if (give.signal.aborted) return null;
    throw error;
  } finally {
    timer.cancel();
  }
}
