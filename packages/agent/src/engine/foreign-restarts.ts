/**
 * Pure: a restart policy of the engine on a container of ours. We create with `no` and take others away when we adopt, so somebody
 * has set it since: two restarters, of which one starts containers without their mounts and their setup.
 */
import type { ReportedCondition } from '../host/condition-diff.ts';
import type { ContainerFacts } from './engine.ts';

type Named = Pick<ContainerFacts, 'name' | 'restartPolicy'>;

export const isForeign = ({ restartPolicy }: Pick<Named, 'restartPolicy'>): boolean => restartPolicy !== 'no';

export const undo = ({ name }: Pick<Named, 'name'>): string =>
  `Relight is the only restarter of its containers. Run: docker update --restart no ${name}`;

/**
 * `own`: all containers that carry our owner id. `names`: of our workloads; what we have set aside has another, and is swept away whoever
 * starts it.
 */
export const restartPolicyConditions = (
  own: readonly (Named & Pick<ContainerFacts, 'status'>)[],
  names: ReadonlySet<string>,
): ReportedCondition[] =>
  own
    .filter((facts) => isForeign(facts) && names.has(facts.name) && facts.status !== 'removing')
    .map((facts) => ({
      name: 'restart-policy',
      subject: facts.name,
      severity: 'warning',
      reason: `somebody has given it the engine's restart policy ${facts.restartPolicy}: the engine starts it as well, without its mounts and setup`,
      advice: undo(facts),
    }));
