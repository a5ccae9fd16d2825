/** The groups of this host, by name: those of /etc/group, and those that a directory service knows. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A directory service that is away must hold up neither the start of the agent nor its loop. */
const deadlineMs = 3_000;

export interface GroupSource {
  /** /etc/group, as it is. */
  readonly file?: string;
  /** `getent group NAME`; null: it knows none, or does not answer. */
  readonly ask?: (name: string) => string | null;
}

/** Its id. Null: there is no such group. */
export function groupId(name: string, { file = '/etc/group', ask = getent }: GroupSource = {}): number | null {
  // Neither is part of any name, and getent would take the first for an option.
  if (name.startsWith('-') || name.includes(':')) return null;
  return idIn(readOrEmpty(file), name) ?? idIn(ask(name) ?? '', name);
}

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
