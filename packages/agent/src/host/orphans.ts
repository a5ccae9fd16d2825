/** Containers of ours that no workload wants any more: found by their labels, always reported. Another owner's are never seen here. */
import { formatDurationMs } from '@relight/shared/units';
import type { HostSpec } from '../config/spec.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import type { ReportedCondition } from './conditions.ts';

/** Somebody may want to look at what has just stopped, or take the workload out of the configuration for a moment only. */
const keptMs = 10 * 60_000;

export interface OrphanJudgement {
  readonly report: readonly ReportedCondition[];
  /** Container ids. */
  readonly remove: readonly string[];
}

/** Pure. `own`: all containers that carry our owner id. `now` by the wall clock, as the engine's times are. */
export function judgeOrphans(
  own: readonly ContainerFacts[],
  workloads: ReadonlySet<string>,
  mode: HostSpec['orphans'],
  now: number,
): OrphanJudgement {
  const orphans = own.filter(({ labels, status }) => !workloads.has(labels['relight.workload'] ?? '') && status !== 'removing');
  const judged = orphans.map((facts) => ({ facts, removeAt: removeAt(facts, mode) }));
  return {
    report: judged.filter(({ removeAt: at }) => at === null || at > now).map(({ facts, removeAt: at }) => describe(facts, at, now)),
    remove: judged.filter(({ removeAt: at }) => at !== null && at <= now).map(({ facts }) => facts.id),
  };
}

/** Null: it stays until a person removes it. */
function removeAt(facts: ContainerFacts, mode: HostSpec['orphans']): number | null {
  if (mode === 'remove') return 0;
  if (mode === 'report' || isAlive(facts)) return null;
  return (facts.finishedAt ?? facts.createdAt) + keptMs;
}

const isAlive = ({ status }: ContainerFacts): boolean => status === 'running' || status === 'paused' || status === 'restarting';

function describe(facts: ContainerFacts, at: number | null, now: number): ReportedCondition {
  const workload = facts.labels['relight.workload'] ?? 'unknown';
  const alive = isAlive(facts);
  const what = alive ? 'runs, unwatched' : 'has stopped';
  const then = at === null ? '' : `; it is removed in ${formatDurationMs(at - now)}`;
  return {
    name: 'orphan-container',
    subject: facts.name,
    // What runs may hold the device that its successor needs.
    severity: alive ? 'warning' : 'info',
    reason: `the container of the workload "${workload}", which the configuration has no more, ${what}${then}`,
    advice: `Remove it (docker rm -f ${facts.name}), or put the workload back into the configuration.`,
  };
}

export interface OrphansOptions {
  /** Relight has not made it, and nobody could make it again: it is not Relight's to remove, or to have removed. */
  readonly isAdopted: (containerId: string) => boolean;
  /** Those that are configured now. */
  readonly workloads: () => ReadonlySet<string>;
  readonly mode: HostSpec['orphans'];
  readonly wallNow: () => number;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  readonly remove: (containerId: string) => Promise<void>;
  readonly onRemoved: (facts: ContainerFacts) => void;
  readonly warn: (containerId: string, thrown: unknown) => void;
}

/** Carries the judgement out, at every look at the engine. */
export class Orphans {
  readonly #options: OrphansOptions;
  readonly #removing = new Set<string>();

  constructor(options: OrphansOptions) {
    this.#options = options;
  }

  /** `own`: all containers that carry our owner id. */
  observed(own: readonly ContainerFacts[]): void {
    const { isAdopted, workloads, mode, wallNow, report } = this.#options;
    const made = own.filter(({ id }) => !isAdopted(id));
    const judgement = judgeOrphans(made, workloads(), mode, wallNow());
    report(judgement.report);
    for (const facts of made) if (judgement.remove.includes(facts.id) && !this.#removing.has(facts.id)) void this.#remove(facts);
  }

  async #remove(facts: ContainerFacts): Promise<void> {
    const { remove, onRemoved, warn } = this.#options;
    this.#removing.add(facts.id);
    try {
      await remove(facts.id);
      onRemoved(facts);
    } catch (thrown) {
      // The next look tries again.
      warn(facts.id, thrown);
    } finally {
      this.#removing.delete(facts.id);
    }
  }
}
