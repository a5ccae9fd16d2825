import { delay } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import type { Engine } from '../engine/engine.ts';
import type { OpValue } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

/** How often the engine is asked, while it pulls, whether somebody else has brought the image: docker load, docker tag. */
const lookMs = 1_000;
const callMs = 10_000;

export interface PullContext extends Pick<StageContext, 'clock' | 'spec' | 'signal' | 'progress'> {
  readonly engine: Pick<Engine, 'hasImage' | 'pull'>;
}

/**
 * Asks a registry for nothing that is on this host: its name may be nobody's business there. With `pull_policy: always` a registry that
 * cannot be reached is no reason to stand still: the image of this host will do.
 */
export async function pull(context: PullContext): Promise<Extract<OpValue, { kind: 'pull' }>> {
  const { engine, spec, signal } = context;
  const { image, pullPolicy } = spec.container;
  const isHere = (): Promise<boolean> => engine.hasImage(image, { signal });
  // Somebody may have brought it since it was found missing.
  if (pullPolicy !== 'always' && (await isHere())) return { kind: 'pull' };
  context.progress(`pull ${image}`);
  const brought = new AbortController();
  const over = new AbortController();
  if (pullPolicy !== 'always') void watch(context, over.signal, () => brought.abort());
  try {
    await engine.pull(image, (line) => context.progress(`pull ${image}: ${line}`), {
      signal: AbortSignal.any([signal, brought.signal]),
      // The stage's own deadline is the signal: an image of 20 GB over a slow line is no failure.
      timeoutMs: spec.startDeadlineMs,
    });
    return { kind: 'pull' };
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    if (brought.signal.aborted) return { kind: 'pull' };
    if (!(thrown instanceof RelightError) || pullPolicy !== 'always' || thrown.code !== 'image-pull-failed') throw thrown;
    if (!(await isHere())) throw thrown;
    return { kind: 'pull', fallback: thrown.message };
  } finally {
    over.abort();
  }
}

/** Until `over`. An engine that does not answer says nothing; the pull itself tells of that. */
async function watch({ engine, clock, spec }: PullContext, over: AbortSignal, onHere: () => void): Promise<void> {
  try {
    for (;;) {
      await delay(clock, lookMs, over);
      if (!(await engine.hasImage(spec.container.image, { signal: over, timeoutMs: callMs }).catch(() => false))) continue;
      onHere();
      return;
    }
  } catch {
    // It is over.
  }
}
