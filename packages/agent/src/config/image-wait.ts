/**
 * Whether another configuration of a workload may be taken up before the image that it wants is on this host. What runs is stopped before
 * a new container is made: without its image that would be downtime for as long as the pull takes, and for ever after a typing error. Pure.
 */
import { strongest } from './agent-change.ts';
import { compareWorkload, isWhole } from './impact.ts';
import type { WorkloadSpec } from './spec.ts';

/** How a workload fares under the configuration that it has. */
export interface Standing {
  /** It has had a container of that configuration: there is something to lose. */
  readonly hasRun: boolean;
  /** Trying again without a change is useless, or it is over: nothing is lost by another configuration. */
  readonly given: 'held' | 'finished' | null;
}

/** Undefined: the image that is wanted has nothing to do with it, and need not be asked for. */
export function imageToWaitFor(has: WorkloadSpec, wanted: WorkloadSpec, { hasRun, given }: Standing): string | undefined {
  if (!hasRun || given !== null) return undefined;
  // What is adopted is as it was found.
  if (has.container.adopt !== undefined || wanted.container.adopt !== undefined) return undefined;
  // Of another version of Relight: nothing can be made from it.
  if (!isWhole(has)) return undefined;
  return strongest(compareWorkload(has, wanted)) === 'container' ? wanted.container.image : undefined;
}

/** One line, for a person who asks before: `plan`, `reload --dry-run`, `reload`. */
export function heldBackText({ image, pullPolicy }: Pick<WorkloadSpec['container'], 'image' | 'pullPolicy'>): string {
  const until =
    pullPolicy === 'never' ? `until somebody brings it (pull_policy is never): docker load or docker pull ${image}` : 'until it is pulled';
  return `the image ${image} is not on this host: a container that runs goes on under the configuration before, ${until}`;
}
