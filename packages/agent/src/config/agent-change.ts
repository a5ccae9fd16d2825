/**
 * What another configuration means for an agent that runs: which workloads come, go or change, what that restarts (impact.ts, as
 * `plan` shows it), and what the agent can take up only by starting over. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { compareWorkload, type Change, type Impact } from './impact.ts';
import type { AgentSpec, ControlSpec, WorkloadSpec } from './spec.ts';

export interface WorkloadChange {
  readonly name: string;
  readonly kind: 'added' | 'removed' | 'changed';
  /** The strongest of its changes. Of one that is added or removed: nothing that runs is restarted. */
  readonly restarts: Impact;
  readonly changes: readonly Change[];
}

export interface AgentChange {
  /** In the order of the new configuration; removed ones last. Those that are the same are not among them. */
  readonly workloads: readonly WorkloadChange[];
  /** Fields that hold from the next use on: `vars`. */
  readonly fields: readonly string[];
  /** Fields that the agent takes up by starting over, which touches no workload: `host.labels`, `collector.url`. */
  readonly startOver: readonly string[];
  /** Why it cannot be taken up while the agent runs; null: it can. */
  readonly refusal: string | null;
}

/**
 * @param stateDirGiven the state directory comes from the command line: what the file says of it is nobody's
 * @param inForce of workloads that wait for the image of what `before` says of them (image-wait.ts): what they have meanwhile
 */
export function compareAgents(
  before: AgentSpec,
  after: AgentSpec,
  stateDirGiven: boolean,
  inForce: ReadonlyMap<string, WorkloadSpec> = new Map(),
): AgentChange {
  const earlier = new Map(before.workloads.map((workload) => [workload.name, workload]));
  const names = new Set(after.workloads.map(({ name }) => name));
  return {
    workloads: [
      ...after.workloads.flatMap((workload) => changeOf(earlier.get(workload.name), workload, inForce.get(workload.name))),
      ...before.workloads.filter(({ name }) => !names.has(name)).map(({ name }) => comingOrGoing(name, 'removed')),
    ],
    fields: isDeepStrictEqual(before.vars, after.vars) ? [] : ['vars'],
    startOver: [
      ...fieldsThatDiffer('host', before.host, after.host),
      ...fieldsThatDiffer('collector', before.collector ?? {}, after.collector ?? {}),
      ...fieldsThatDiffer('control', before.control, isSameGroup(before.control, after.control) ? before.control : after.control),
      ...fieldsThatDiffer('engine', before.engine, after.engine),
      ...adoptions(earlier, after).map((name) => `container.adopt of ${name}`),
    ],
    refusal:
      stateDirGiven || before.stateDir === after.stateDir
        ? null
        : `state_dir cannot change from ${before.stateDir} to ${after.stateDir} while the agent runs: with another one it would not know its own containers`,
  };
}

/** One that was not known then, or is not now, is no other for that. */
function isSameGroup({ group: before }: ControlSpec, { group: after }: ControlSpec): boolean {
  if (before === null || after === null) return before === after;
  return before.name === after.name && (before.id === null || after.id === null || before.id === after.id);
}

/** What of `after` an agent takes up at once; the rest stays as it was until it starts over. */
export function takenUp(before: AgentSpec, after: AgentSpec): AgentSpec {
  const adoptedOtherwise = new Set(adoptions(new Map(before.workloads.map((workload) => [workload.name, workload])), after));
  const workloads = after.workloads.map((workload) =>
    adoptedOtherwise.has(workload.name) ? (before.workloads.find(({ name }) => name === workload.name) ?? workload) : workload,
  );
  return { ...before, vars: after.vars, workloads };
}

export const isNoChange = ({ workloads, fields, startOver }: AgentChange): boolean =>
  workloads.length + fields.length + startOver.length === 0;

const comingOrGoing = (name: string, kind: 'added' | 'removed'): WorkloadChange => ({ name, kind, restarts: 'none', changes: [] });

function changeOf(before: WorkloadSpec | undefined, after: WorkloadSpec, inForce = before): readonly WorkloadChange[] {
  if (before === undefined || inForce === undefined) return [comingOrGoing(after.name, 'added')];
  if (compareWorkload(before, after).length === 0) return [];
  const changes = compareWorkload(inForce, after);
  return [{ name: after.name, kind: 'changed', restarts: strongest(changes), changes }];
}

export const strongest = (changes: readonly Change[]): Impact =>
  (['container', 'process'] as const).find((impact) => changes.some((change) => change.impact === impact)) ?? 'none';

/** Whose its container is, is decided when a workload begins to be supervised. */
const adoptions = (earlier: ReadonlyMap<string, WorkloadSpec>, { workloads }: AgentSpec): readonly string[] =>
  workloads
    .filter(({ name, container }) => earlier.has(name) && earlier.get(name)?.container.adopt !== container.adopt)
    .map(({ name }) => name);

function fieldsThatDiffer(section: string, before: object, after: object): readonly string[] {
  const [then, now] = [before as Readonly<Record<string, unknown>>, after as Readonly<Record<string, unknown>>];
  return [...new Set([...Object.keys(then), ...Object.keys(now)])]
    .filter((field) => !isDeepStrictEqual(then[field], now[field]))
    .map((field) => `${section}.${field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`);
}

const costs: Readonly<Record<Impact, string>> = {
  none: 'restarts nothing',
  process: 'restarts the process',
  container: 'makes a new container',
};

/** One line each, for a person. No value of the configuration is part of it. */
export function agentChangeLines({ workloads, fields, startOver }: AgentChange): readonly string[] {
  return [
    ...workloads.map(workloadChangeText),
    ...(fields.length === 0 ? [] : [`${fields.join(', ')}: used from the next start of anything on`]),
    ...(startOver.length === 0 ? [] : [`${startOver.join(', ')}: the agent starts over by itself; what runs goes on`]),
  ];
}

export function workloadChangeText({ name, kind, restarts, changes }: WorkloadChange): string {
  if (kind === 'added') return `workload ${name} is added`;
  if (kind === 'removed') return `workload ${name} is removed: its container goes on, unsupervised (host.orphans)`;
  if (changes.length === 0) return `workload ${name}: goes on as it is; the configuration that waited for its image is withdrawn`;
  return `workload ${name}: ${costs[restarts]} (${changes.map(({ field }) => field).join(', ')})`;
}
