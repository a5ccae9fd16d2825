import type { WorkloadSpec } from '../config/spec.ts';

/** Whether a mount or a step names it. A token that is new at every look does not matter to anything that is in place without it. */
export function usedInside(variable: string, { mounts, setup }: Pick<WorkloadSpec, 'mounts' | 'setup'>): boolean {
  return new RegExp(`\\$\\{?${variable}\\b`).test(JSON.stringify([mounts, setup]));
}
