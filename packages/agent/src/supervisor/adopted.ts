/**
 * A container that was there before Relight (`container: {adopt: NAME}`) is supervised as it was found: nothing of ours is in it,
 * and it has no run directory, so mounts, setup and process begin with the first container that Relight makes of it.
 */
import type { WorkloadSpec } from '../config/spec.ts';
import type { WorkloadState } from './state.ts';

/** What the present container is held to. */
export function specFor(spec: WorkloadSpec, state: Pick<WorkloadState, 'container'>): WorkloadSpec {
  const { adoptedId } = spec.container;
  if (adoptedId === undefined || state.container?.id !== adoptedId) return spec;
  return {
    ...spec,
    mounts: [],
    setup: [],
    process: null,
    // There is no process of ours to restart.
    live: spec.live.map((check) => (check.restarts === 'process' ? { ...check, restarts: 'container' } : check)),
  };
}
