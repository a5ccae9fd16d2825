import type { StageContext } from './stage.ts';

export async function pull(context: StageContext): Promise<{ readonly kind: 'pull' }> {
  const { engine, spec, signal } = context;
  const { image } = spec.container;
  context.progress(`pull ${image}`);
  // The stage's own deadline is the signal: an image of 20 GB over a slow line is no failure.
  await engine.pull(image, (line) => context.progress(`pull ${image}: ${line}`), { signal, timeoutMs: spec.startDeadlineMs });
  return { kind: 'pull' };
}
