import { RelightError } from '@relight/shared/errors';
import type { OpValue } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

/** With `pull_policy: always` a registry that cannot be reached is no reason to stand still: the image of this host will do. */
export async function pull(context: StageContext): Promise<Extract<OpValue, { kind: 'pull' }>> {
  const { engine, spec, signal } = context;
  const { image } = spec.container;
  context.progress(`pull ${image}`);
  // The stage's own deadline is the signal: an image of 20 GB over a slow line is no failure.
  try {
    await engine.pull(image, (line) => context.progress(`pull ${image}: ${line}`), { signal, timeoutMs: spec.startDeadlineMs });
    return { kind: 'pull' };
  } catch (thrown) {
    if (!(thrown instanceof RelightError) || thrown.code !== 'image-pull-failed' || spec.container.pullPolicy !== 'always') throw thrown;
    if (signal.aborted || !(await engine.hasImage(image, { signal }))) throw thrown;
    return { kind: 'pull', fallback: thrown.message };
  }
}
