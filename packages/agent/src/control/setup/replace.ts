/** What keeps `setup` from writing over a configuration that an agent works with: what would be lost, and what would be restarted. */
import { realpathSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { RelightError } from '@relight/shared/errors';
import { parse } from 'yaml';
import { ControlClient } from '../client.ts';
import { oneLine } from './facts.ts';

export interface RunningAgent {
  /** Its configuration. Null: it is too old to tell. */
  readonly file: string | null;
  /** Names of what it keeps. */
  readonly workloads: readonly string[];
}

/** Null: none that answers. Fails with protocol. */
export async function runningAgent(stateDir: string): Promise<RunningAgent | null> {
  try {
    const { configuration, workloads } = await new ControlClient(stateDir).status();
    return { file: configuration?.file ?? null, workloads: workloads.map(({ name }) => name) };
  } catch (thrown) {
    if (thrown instanceof RelightError && ['agent-unreachable', 'forbidden'].includes(thrown.code)) return null;
    throw thrown;
  }
}

/** It takes up what is written there by itself, within seconds. */
export const takesUp = ({ file: its }: RunningAgent, file: string): boolean => its === null || real(its) === real(file);

const real = (file: string): string => {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
};

/**
 * Fails with usage where the file holds what the new one would not: its workloads would go on unsupervised, or be made anew.
 * What only a person has put there cannot be found again by looking around.
 */
export function mustLoseNothing(file: string, before: string, after: string): void {
  const lost = lostBy(before, after);
  if (lost.length === 0) return;
  throw new RelightError('usage', `${file} holds what a new one would not, or not as it is there: ${lost.join(', ')}`, {
    advice:
      'Edit it instead: the agent takes up the change by itself. On a copy, relight-agent plan --config COPY says first what that restarts.',
  });
}

/**
 * Fails with usage where an agent goes on with a configuration that nobody can read any more: whether its workloads would stay as they are
 * is not known then. Also where it could not be kept from taking up the new one.
 *
 * @param isValid the file is there, and is what the agent goes on with
 */
export function mustNotSurprise({ workloads }: RunningAgent, file: string, isValid: boolean, noStart: boolean): void {
  if (!isValid && workloads.length > 0) {
    throw new RelightError(
      'usage',
      `the agent that runs goes on with what ${file} was before, and keeps ${workloads.join(', ')}: a new file would take its place at once`,
      {
        advice: `Correct the file: relight-agent check --config ${file} says what is wrong. To begin anew all the same, stop the agent first: its containers go on.`,
      },
    );
  }
  if (noStart) {
    throw new RelightError('usage', `an agent runs, and takes up ${file} as soon as it is written, whatever --no-start says`, {
      advice: 'Look at it with --dry-run, or stop the agent first: its containers go on.',
    });
  }
}

/** Where what was there is now. Of a file that was no YAML nobody can say what it held that the new one does not. Pure. */
export const keptAs = (backup: string, before: string): string =>
  `the one before it is ${backup}` +
  (isYaml(before)
    ? ''
    : ', kept whole: it was no YAML, so nothing of it was taken over. What you want of it, copy by hand; containers that it named go on as they are');

/** Names without values, for a person: `workload ray-worker`, `vars.HEAD`. Nothing where `before` is no YAML. Pure. */
function lostBy(before: string, after: string): readonly string[] {
  const [then, now] = [mapIn(before), mapIn(after)];
  const kept = listOf(now['workloads']);
  return [
    ...listOf(then['workloads'])
      .filter((workload) => !kept.some((other) => isDeepStrictEqual(other, workload)))
      .map((workload) => `workload ${isMap(workload) ? oneLine(String(workload['name'])) : '?'}`),
    ...Object.keys(then)
      .filter((key) => key !== 'workloads' && key !== 'version')
      .flatMap((key) => lostAt(key, then[key], now[key])),
  ];
}

/** What the host is called is one of the answers: another one is meant, none is not. */
const isAnswer = (path: string): boolean => path === 'host.name' || path.startsWith('host.labels.');

function lostAt(path: string, then: unknown, now: unknown): readonly string[] {
  if (isEmpty(then) || isDeepStrictEqual(then, now)) return [];
  if (isMap(then)) {
    const other = isMap(now) ? now : {};
    return Object.keys(then).flatMap((key) => lostAt(`${path}.${key}`, then[key], other[key]));
  }
  return now !== undefined && isAnswer(path) ? [] : [oneLine(path)];
}

type Map = Readonly<Record<string, unknown>>;
const isMap = (value: unknown): value is Map => typeof value === 'object' && value !== null && !Array.isArray(value);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : isEmpty(value) ? [] : [value]);
const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || (typeof value === 'object' && Object.keys(value).length === 0);

function isYaml(text: string): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

function mapIn(text: string): Map {
  try {
    const value: unknown = parse(text);
    return isMap(value) ? value : {};
  } catch {
    return {};
  }
}
