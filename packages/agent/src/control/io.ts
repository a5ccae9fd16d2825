/** What a command sees of the world outside. */
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemClock, type Clock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { columnsOf, fold } from '@relight/shared/text-columns';
import { defaults } from '../config/defaults.ts';
import { stateDirProblem } from '../config/state-dir.ts';

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Of the terminal that stdout is; null: it is none, and a line is as long as it is. */
  readonly columns: number | null;
  /** To stdout, as it stands. */
  write(text: string): void;
  /** One line for a person, on stderr. */
  note(text: string): void;
}

/** 0 done, 1 the thing asked about is not so, 2 wrong usage or configuration, 3 the other side could not be reached, 130 left by Ctrl-C. */
export type ExitCode = 0 | 1 | 2 | 3 | 130;

export const processIo: Io = {
  env: process.env,
  clock: systemClock,
  get columns() {
    return columnsOf(process.stdout);
  },
  write: (text) => void process.stdout.write(text),
  note: (text) => void process.stderr.write(`${fold(text, columnsOf(process.stderr))}\n`),
};

/** The one that the unit reads. */
export const usualConfig = '/etc/relight/agent.yaml';

/** `--state-dir`, else RELIGHT_STATE_DIR, else undefined; absolute. Fails with usage where no state can live. */
export function chosenStateDir(flag: string | undefined, env: Io['env']): string | undefined {
  const fromEnv = env['RELIGHT_STATE_DIR'];
  const given = flag ?? (fromEnv === undefined || fromEnv === '' ? undefined : fromEnv);
  if (given === undefined) return undefined;
  const path = resolve(given);
  const problem = stateDirProblem(path);
  if (problem !== undefined)
    throw new RelightError('usage', `--state-dir: ${problem}`, {
      advice: 'Give another directory: --state-dir DIR, or RELIGHT_STATE_DIR.',
    });
  return path;
}

/** For what reads its files: to somebody whom nobody lets in, an unreadable one looks like one in which nothing ever happened. */
export function mustBeReadable(stateDir: string): void {
  try {
    readdirSync(stateDir);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM') return;
    throw new RelightError('config-unreadable', `the state directory ${stateDir} cannot be read: permission denied`, {
      cause,
      advice: 'Run this command as root: sudo relight-agent …',
    });
  }
}

export function stateDirOrDefault(flag: string | undefined, env: Io['env']): string {
  return chosenStateDir(flag, env) ?? defaults.stateDir;
}
