/** The groups of this host, by name: those of /etc/group, and those that a directory service knows. */
import type { Clock } from '@relight/shared/clock';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { runChild } from '@relight/shared/child';

/** For no longer a directory service that is away holds up the start of the agent, or the reading of its configuration. */
const deadlineMs = 3_000;

const groupFile = '/etc/group';

export interface GroupSource {
  /** /etc/group, as it is. */
  readonly file?: string;
  /** `getent group NAME`; null: it knows none, or does not answer. */
  readonly ask?: (name: string) => string | null;
}

/** Its id. Null: there is no such group, or who knows it does not answer. Nothing else is done meanwhile, for 3 s at most. */
export function groupId(name: string, { file = groupFile, ask = getent }: GroupSource = {}): number | null {
  return isName(name) ? (groupIdInFile(name, file) ?? idIn(ask(name) ?? '', name)) : null;
}

/** Its id by /etc/group alone, at once. */
export const groupIdInFile = (name: string, file = groupFile): number | null => (isName(name) ? idIn(readOrEmpty(file), name) : null);

/** What getent knows, asked beside everything else that this process does. Takes 3 s at most. Never rejects. */
export async function findGroupId(name: string, clock: Clock): Promise<number | null> {
  if (!isName(name)) return null;
  const { exitCode, stdout } = await runChild({ argv: ['getent', 'group', name], clock, timeoutMs: deadlineMs });
  return exitCode === 0 ? idIn(stdout, name) : null;
}

/** Neither is part of any name, and getent would take the first for an option. */
const isName = (name: string): boolean => !name.startsWith('-') && !name.includes(':');

/** NAME:PASSWORD:ID:MEMBERS */
function idIn(text: string, name: string): number | null {
  const id = text
    .split('\n')
    .map((line) => line.split(':'))
    .find(([first]) => first === name)?.[2];
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : null;
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function getent(name: string): string | null {
  try {
    return execFileSync('getent', ['group', name], { encoding: 'utf8', timeout: deadlineMs, killSignal: 'SIGKILL', stdio: 'pipe' });
  } catch {
    return null;
  }
}
