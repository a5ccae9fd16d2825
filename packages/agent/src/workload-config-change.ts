/** Pure: whether what runs of a workload comes from another configuration than the present one. */
import { compareFingerprints, compareWorkload, specFingerprint, type Change } from './config/impact.ts';
import type { WorkloadSpec } from './config/spec.ts';
import { managedLabels } from './engine/create-options.ts';
import type { ContainerFacts } from './engine/engine.ts';
import type { SupervisorEvent } from './supervisor/event.ts';
import { isSpare } from './supervisor/spare-state.ts';

export type SpecChanged = Extract<SupervisorEvent, { type: 'spec-changed' }>;

/** One change after the other, as far as what was made before both is concerned. */
export const bothChanges = (first: SpecChanged, second: SpecChanged): SpecChanged => ({
  type: 'spec-changed',
  impact: first.impact === 'container' ? first.impact : second.impact,
  fields: [...new Set([...first.fields, ...second.fields])],
});

/** The saved configuration tells, or else the label. Null: nothing that runs has to be made anew. */
export function configChange(
  saved: WorkloadSpec | null,
  spec: WorkloadSpec,
  containers: readonly ContainerFacts[],
  ownerId: string,
): SpecChanged | null {
  const changes = saved === null ? changesByLabel(containers, spec, ownerId) : compareWorkload(sameContainer(saved, spec), spec);
  const impact = (['container', 'process'] as const).find((level) => changes.some((change) => change.impact === level));
  if (impact === undefined) return null;
  return { type: 'spec-changed', impact, fields: changes.filter((change) => change.impact !== 'none').map((change) => change.field) };
}

/** An adopted container is what it is, also when another one of that name was adopted meanwhile: nothing of it is to be made anew. */
function sameContainer(saved: WorkloadSpec, { container }: WorkloadSpec): WorkloadSpec {
  return container.adopt !== undefined && saved.container.adopt === container.adopt ? { ...saved, container } : saved;
}

/** Without saved state: the newest running container of ours carries the fingerprint of what it was made from. */
function changesByLabel(containers: readonly ContainerFacts[], spec: WorkloadSpec, ownerId: string): readonly Change[] {
  const running = containers.filter(
    (facts) => facts.labels[managedLabels.agent] === ownerId && facts.status === 'running' && !isSpare(facts),
  );
  const label = running.toSorted((a, b) => b.createdAt - a.createdAt)[0]?.labels[managedLabels.spec];
  if (label === undefined) return [];
  return compareFingerprints(JSON.parse(label) as Record<string, string>, specFingerprint(spec));
}
