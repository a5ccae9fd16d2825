/** Gives a container that somebody renamed its name back. It goes on running meanwhile. Fails with name-conflict. */
import type { Op } from '../supervisor/op.ts';
import type { StageContext } from './stage.ts';

export async function rename(
  { containerId }: Extract<Op, { kind: 'rename' }>,
  { engine, spec, signal }: StageContext,
): Promise<{ readonly kind: 'rename' }> {
  const { name } = spec.container;
  try {
    await engine.rename(containerId, name, { signal });
  } catch (thrown) {
    if (signal.aborted || (await engine.inspect(name, { signal }))?.id !== containerId) throw thrown;
  }
  return { kind: 'rename' };
}
