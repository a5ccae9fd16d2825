/** Pure: whose a process is that holds a TPU, and whether it may be killed. */
import { parseRunId } from '../../supervisor/run-id.ts';
import type { DeviceHolder } from './device-holders.ts';

/** What the engine says of a container that a holder's cgroup names. */
export interface HolderContainer {
  readonly name: string;
  readonly running: boolean;
  /** It carries our owner's label. */
  readonly ours: boolean;
}

export interface Claim {
  readonly ownerId: string;
  readonly workload: string;
  /** The container of the workload that is to get the TPU. */
  readonly containerId: string;
  readonly generation: number;
  /** The number of the run that is about to start; every process before it is over. */
  readonly nextRun: number;
  /** By id. The engine was asked for every one: what is not listed does not exist any more. */
  readonly containers: ReadonlyMap<string, HolderContainer>;
}

/**
 * `orphan`: of a dead container or an ended run of this very owner; it may be killed. `own`: lives rightly in the workload's
 * container. `foreign`: anybody else's, and not to be touched.
 */
export type Standing = 'orphan' | 'own' | 'foreign';

export function standingOf({ containerId, runId }: DeviceHolder, claim: Claim): Standing {
  const run = runId === null ? undefined : parseRunId(runId);
  const container = containerId === null ? undefined : claim.containers.get(containerId);
  // Without RELIGHT_RUN (a program may overwrite it) the cgroup must name a dead container with our label.
  if (run === undefined) {
    if (container?.running === false && container.ours) return 'orphan';
    return containerId === claim.containerId ? 'own' : 'foreign';
  }
  if (run.owner !== claim.ownerId) return 'foreign';
  if (containerId !== null && container?.running !== true) return 'orphan';
  const ended =
    run.workload === claim.workload &&
    (run.generation < claim.generation || (run.generation === claim.generation && run.kind === 'process' && run.n < claim.nextRun));
  // Outside of every container: it has left its cgroup, and only its run tells whether it should live.
  if (containerId === null) return ended ? 'orphan' : 'foreign';
  if (containerId !== claim.containerId) return 'foreign';
  return ended ? 'orphan' : 'own';
}

/** `python3 (pid 4711) in container vllm`, for a person. */
export function describeHolder({ name, pid, containerId, runId }: DeviceHolder, containers: Claim['containers']): string {
  const run = runId === null ? undefined : parseRunId(runId);
  const container = containerId === null ? undefined : containers.get(containerId);
  const where = containerId === null ? 'on the host' : `in container ${container?.name ?? containerId.slice(0, 12)}`;
  return `${name} (pid ${pid}) ${where}${run === undefined ? '' : `, of workload ${run.workload}`}`;
}
