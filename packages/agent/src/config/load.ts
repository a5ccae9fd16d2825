/** YAML → AgentSpec. All problems of a file are reported at once, each with its place, as one `config-invalid`. */
import { dirname, resolve } from 'node:path';
import { configBytesMax, readBounded, textOf } from '@relight/shared/bounded-read';
import { RelightError } from '@relight/shared/errors';
import { agent, type GroupIds } from './agent.ts';
import { parseLocated } from './located.ts';
import { formatPlaces, formatProblems, Invalid } from './problems.ts';
import type { AgentSpec } from './spec.ts';

export interface ConfigDefaults {
  /** The default of `host.name`. */
  readonly hostname: string;
  /** The id of a group of this host; null: there is none of that name; 'away': it may be known later. Absent: no group is known. */
  readonly groupId?: GroupIds;
}

/** Fails with config-unreadable or config-invalid. */
export async function loadConfig(file: string, env: ConfigDefaults): Promise<AgentSpec> {
  return parseConfig(await readConfigText(file, ifNotSetUp), file, env);
}

/** What to do when the agent's own configuration is not there. */
export const ifNotSetUp = 'Check the path. On a host that is not set up yet: relight-agent setup.';

/** Fails with config-unreadable; `ifMissing` is its advice when there is no such file. */
export async function readConfigText(file: string, ifMissing?: string): Promise<string> {
  const bytes = await readBounded(file, configBytesMax).catch((cause: NodeJS.ErrnoException) => {
    const advice = cause.code === 'ENOENT' && ifMissing !== undefined ? { advice: ifMissing } : {};
    throw new RelightError('config-unreadable', `${file}: ${unreadable(cause)}`, { cause, ...advice });
  });
  try {
    return textOf(bytes);
  } catch (cause) {
    throw new RelightError('config-unreadable', `${file}: not a text file in UTF-8`, {
      cause,
      advice: 'Save it as UTF-8, or name the file that is meant.',
    });
  }
}

function unreadable(error: NodeJS.ErrnoException): string {
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EISDIR: 'is a directory, not a file',
    EACCES: 'permission denied',
    ENOTDIR: 'a part of the path is not a directory',
  };
  return known[error.code ?? ''] ?? error.message;
}

/** `file` is for messages, and its directory is where relative paths count from. Fails with config-invalid. */
export function parseConfig(text: string, file: string, env: ConfigDefaults): AgentSpec {
  try {
    const path = resolve(file);
    return deepFreeze(agent({ ...env, file: path, directory: dirname(path) })(parseLocated(text)));
  } catch (thrown) {
    if (!(thrown instanceof Invalid)) throw thrown;
    const { problems } = thrown;
    const data = { problems: problems.length, places: formatPlaces(file, problems) };
    throw new RelightError('config-invalid', formatProblems(file, problems), { data });
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
