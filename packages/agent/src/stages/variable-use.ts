import type { WorkloadSpec } from '../config/spec.ts';

/** Whether a check may need it: named in a template, by a shell, or to a program that looks into its environment. */
export const namedIn = (variable: string, check: object): boolean => new RegExp(`\\b${variable}\\b`).test(JSON.stringify(check));

/** Whether a mount or a step names it. A token that is new at every look does not matter to anything that is in place without it. */
export function usedInside(variable: string, { mounts, setup }: Pick<WorkloadSpec, 'mounts' | 'setup'>): boolean {
  return new RegExp(`\\$\\{?${variable}\\b`).test(JSON.stringify([mounts, setup]));
}
