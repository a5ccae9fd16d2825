import { managedLabels } from '../engine/create-options.ts';
import type { ContainerFacts } from '../engine/engine.ts';

/** Whose container it is, for a person. */
export function describeHolder(holder: ContainerFacts, ownerId: string): string {
  const short = holder.id.slice(0, 12);
  const owner = holder.labels[managedLabels.agent];
  const workload = holder.labels[managedLabels.workload];
  if (owner === undefined) return `a container that Relight does not manage (${short}, image ${holder.image}, ${holder.status})`;
  if (owner !== ownerId) return `another Relight agent (${owner}, workload ${workload}, container ${short})`;
  return `generation ${holder.labels[managedLabels.generation]} of workload ${workload} of this agent (${short}, ${holder.status})`;
}
