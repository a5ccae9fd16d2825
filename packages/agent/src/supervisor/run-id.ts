/**
 * The value of RELIGHT_RUN: `<owner>/<workload>/<generation>/<n>/<kind>/<name>`, the name percent-encoded. Everything that is
 * known of a run can be read from it, so that a lost state directory loses no run. n counts up per workload.
 */
import type { RunRef } from './op.ts';

export interface RunIdParts {
  readonly owner: string;
  readonly workload: string;
  readonly generation: number;
  readonly n: number;
  readonly kind: RunRef['kind'];
  readonly name: string;
}

/** Whose the runs of one container are, as its labels say, or what the agent remembers of it. */
export type RunOwner = Pick<RunIdParts, 'owner' | 'workload' | 'generation'>;

export function formatRunId(parts: RunIdParts): string {
  return [parts.owner, parts.workload, parts.generation, parts.n, parts.kind, encodeURIComponent(parts.name)].join('/');
}

/** Undefined for anything that Relight did not write: a container's processes may say what they like, numbers without an end too. */
export function parseRunId(text: string): RunIdParts | undefined {
  const match = /^([^/]+)\/([^/]+)\/(\d{1,9})\/(\d{1,9})\/(process|mount|setup)\/([^/]*)$/.exec(text);
  if (match === null) return undefined;
  const [, owner = '', workload = '', generation, n, kind, name = ''] = match;
  try {
    return { owner, workload, generation: Number(generation), n: Number(n), kind: kind as RunRef['kind'], name: decodeURIComponent(name) };
  } catch {
    return undefined;
  }
}

/**
 * Undefined for the run of any other container, too: the environment of a process is its own, and a container whose processes call
 * themselves runs of another one's would write and end its logs.
 */
export function parseRunOf(text: string, of: RunOwner): RunIdParts | undefined {
  const parts = parseRunId(text);
  return parts?.owner === of.owner && parts.workload === of.workload && parts.generation === of.generation ? parts : undefined;
}
