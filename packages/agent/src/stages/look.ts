/** Looks at mounts whose process has just ended, all at once: was it they? */
import { MountProbes } from '../checks/mount.ts';
import type { LostMount, Op, OpValue } from '../supervisor/op.ts';
import { isExecuting } from './proc.ts';
import type { StageContext } from './stage.ts';

/** The next start waits for it. A daemon answers statfs without its network, and one that is gone is known at once. */
const timeoutMsMax = 1_000;

/** Never fails for a mount that is gone. */
export async function look(
  { containerPid, mounts }: Extract<Op, { kind: 'look' }>,
  { clock, spec, signal, mountProbes }: StageContext,
): Promise<Extract<OpValue, { kind: 'look' }>> {
  const probes = mountProbes ?? new MountProbes({ clock });
  const wanted = spec.mounts.filter(({ name }) => mounts.includes(name));
  const found = await Promise.all(
    wanted.map(async ({ name, target, check }): Promise<LostMount> => {
      const timeoutMs = Math.min(timeoutMsMax, check.timeoutMs);
      const { condition, message } = await probes.probe({ containerPid, target, timeoutMs, signal });
      return { mount: name, condition, message };
    }),
  );
  // In a container that is about to be gone everything fails; what it died of is the engine's to tell.
  if (!isExecuting('/proc', containerPid)) return { kind: 'look', lost: [] };
  return { kind: 'look', lost: found.filter(({ condition }) => condition === 'disconnected' || condition === 'absent') };
}
