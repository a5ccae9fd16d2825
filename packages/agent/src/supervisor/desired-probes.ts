/** Which probes have to run, as a consequence of the state: the prober is told the whole list after every transition. */
import type { CheckSpec, LiveCheckSpec, MountSpec, WorkloadSpec } from '../config/spec.ts';
import type { WorkloadState } from './state.ts';

export type WantedProbe =
  | { readonly key: string; readonly kind: 'ready'; readonly spec: CheckSpec }
  | { readonly key: string; readonly kind: 'live'; readonly spec: LiveCheckSpec }
  | { readonly key: string; readonly kind: 'mount'; readonly spec: MountSpec };

export function wantedProbes(state: WorkloadState, spec: WorkloadSpec): readonly WantedProbe[] {
  if (
    !state.engine.up ||
    state.pause !== null ||
    !state.adopted ||
    state.container?.running !== true ||
    state.container.frozen ||
    state.replace
  )
    return [];
  const wanted: WantedProbe[] = [];
  if (state.verifyingSince !== null && state.op === null) {
    for (const check of spec.ready) {
      if (state.ready[check.name]?.ok !== true) wanted.push({ key: `ready/${check.name}`, kind: 'ready', spec: check });
    }
  }
  if (state.readyAt !== null) for (const check of spec.live) wanted.push({ key: `live/${check.name}`, kind: 'live', spec: check });
  if (state.readyAt !== null || state.verifyingSince !== null) {
    for (const mount of spec.mounts)
      if (state.mounts[mount.name] !== undefined) wanted.push({ key: `mount/${mount.name}`, kind: 'mount', spec: mount });
  }
  return wanted;
}
