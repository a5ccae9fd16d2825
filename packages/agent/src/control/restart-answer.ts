/** What a restart by hand does to whom, before it is ordered: that nobody loses what he did not mean to give away. Pure. */
import type { WorkloadSpec } from '../config/spec.ts';
import { specFor } from '../supervisor/adopted.ts';
import type { WorkloadState } from '../supervisor/state.ts';
import type { ActionOutcome } from './action.ts';

export interface Restartable {
  readonly state: Pick<WorkloadState, 'container' | 'pause'>;
  readonly spec: WorkloadSpec;
}

export type RestartLevel = 'process' | 'container';

const isAdopted = ({ state, spec }: Restartable): boolean => specFor(spec, state) !== spec;

/**
 * Refused whole, so that nothing is half done: the process of a container that is as it was adopted is that container, and the
 * only restart that there is of it throws away what was written in it. Null: not refused.
 */
export function refuseRestart(targets: ReadonlyMap<string, Restartable>, level: RestartLevel): ActionOutcome | null {
  const names = [...targets].flatMap(([name, target]) => (isAdopted(target) ? [name] : []));
  if (level === 'container' || names.length === 0) return null;
  const [is, their, its] = names.length === 1 ? ['is', 'a new container', 'it'] : ['are', 'new containers', 'them'];
  const others = targets.size > names.length ? '; the others can be restarted by name' : '';
  return {
    ok: false,
    message:
      `nothing is restarted: ${names.join(', ')} ${is} adopted, and without a process of Relight's a restart means ${their}: what was ` +
      `written in ${its} outside of volumes would be lost; if that is meant: --level container${others}`,
  };
}

/** What the new containers of a restart are made from, where one runs that would be stopped first. Pure. */
export const imagesOfRestart = (targets: ReadonlyMap<string, Restartable>, level: RestartLevel): readonly string[] =>
  [...targets.values()].flatMap((target) => (replacesRunning(target, level) ? [target.spec.container.image] : []));

const replacesRunning = (target: Restartable, level: RestartLevel): boolean =>
  needsContainer(target, level) && target.state.container?.running === true && target.spec.container.image !== '';

/** Refused whole: what runs would be stopped before its image is pulled, and stay away where that cannot be. Null: not refused. */
export function refuseWithoutImage(
  targets: ReadonlyMap<string, Restartable>,
  level: RestartLevel,
  absent: ReadonlySet<string>,
): ActionOutcome | null {
  const without = [...targets].filter(([, target]) => replacesRunning(target, level) && absent.has(target.spec.container.image));
  if (without.length === 0) return null;
  const what = without.map(([name, { spec }]) => `${spec.container.image} of ${name}`);
  const images = [...new Set(without.map(([, { spec }]) => spec.container.image))];
  const others = targets.size > without.length ? '; the others can be restarted by name' : '';
  return {
    ok: false,
    message:
      `nothing is restarted: the image ${what.join(', ')} is not on this host, and what runs would be stopped before it is there. ` +
      `Bring it first (docker load, or docker pull ${images.join(' ')})${others}`,
  };
}

/** @param engine null: it answers; else why it does not */
export function describeRestart(targets: ReadonlyMap<string, Restartable>, level: RestartLevel, engine: string | null): string {
  const [paused, others] = parted([...targets], ([, { state }]) => state.pause !== null);
  const waits = paused.map(([name, target]) => `${name} is paused: ${whatOf(target, level)} when it is resumed`);
  if (engine !== null && others.length > 0) {
    const what = others.map(([name, target]) => `${name}: ${whatOf(target, level)} when it does`);
    return [`the engine does not answer (${engine}); ${what.join('; ')}`, ...waits].join('; ');
  }
  const processes = others.filter(([, target]) => !needsContainer(target, level)).map(([name]) => name);
  const now = [
    ...(processes.length === 0 ? [] : [`restarting the process of ${processes.join(', ')}`]),
    ...others.flatMap(([name, target]) => (needsContainer(target, level) ? [`making a new container of ${name}${why(target)}`] : [])),
  ];
  return [...now, ...waits].join('; ');
}

const needsContainer = ({ spec }: Restartable, level: RestartLevel): boolean => level === 'container' || spec.process === null;

function whatOf(target: Restartable, level: RestartLevel): string {
  if (!needsContainer(target, level)) return 'its process is restarted';
  return `a new container is made${isAdopted(target) ? ' (what was written in the adopted one outside of volumes is lost)' : ''}`;
}

function why(target: Restartable): string {
  if (isAdopted(target)) return ', which is adopted: what was written in the old one outside of volumes is lost';
  return target.spec.process === null ? ', which has no process of its own to restart' : '';
}

function parted<T>(all: readonly T[], is: (one: T) => boolean): readonly [T[], T[]] {
  return [all.filter(is), all.filter((one) => !is(one))];
}
