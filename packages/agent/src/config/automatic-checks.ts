/** Checks that a container gets by what it has, unless it has them already: what they look for is otherwise noticed by nobody. Pure. */
import { defaults } from './defaults.ts';
import type { CheckSpec, LiveCheckSpec, VolumesProbe, WorkloadSpec } from './spec.ts';

/** A container can lose its right to the GPUs while it runs. */
export const automaticGpuCheck: LiveCheckSpec = {
  name: 'gpu',
  probe: { kind: 'gpu', automatic: true },
  ...defaults.gpu,
  restarts: 'container',
};

export function withAutomaticChecks(spec: WorkloadSpec): WorkloadSpec {
  const probe = volumesProbe(spec);
  const fill = <T extends CheckSpec>(check: T): T => (check.probe.kind === 'volumes' ? { ...check, probe } : check);
  const live = spec.live.map(fill);
  const has = (kind: LiveCheckSpec['probe']['kind']): boolean => live.some((check) => check.probe.kind === kind);
  if (spec.container.gpus !== undefined && !has('gpu')) live.push(named(live, automaticGpuCheck));
  // A mount of the host that died under a private bind stays dead in the container for good.
  if (probe.binds.length > 0 && !has('volumes'))
    live.push(named(live, { name: 'volumes', probe, ...defaults.volumes, restarts: 'container' }));
  return { ...spec, ready: spec.ready.map(fill), live };
}

function volumesProbe({ container, mounts }: WorkloadSpec): VolumesProbe {
  const binds = container.volumes.filter(({ type }) => type === 'bind').map(({ source, target }) => ({ source, target }));
  return { kind: 'volumes', binds, except: mounts.map(({ target }) => target) };
}

/** Somebody may have called a check of theirs so. */
function named(present: readonly LiveCheckSpec[], check: LiveCheckSpec): LiveCheckSpec {
  return present.some(({ name }) => name === check.name) ? { ...check, name: `${check.name} (automatic)` } : check;
}
