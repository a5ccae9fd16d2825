/** What a command sees of the world outside. */
import { systemClock, type Clock } from '@relight/shared/clock';

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** To stdout, as it stands. */
  write(text: string): void;
  /** One line for a person, on stderr. */
  note(text: string): void;
}

/** 0 done, 1 the thing asked about is not so, 2 wrong usage or configuration, 3 the other side could not be reached. */
export type ExitCode = 0 | 1 | 2 | 3;

export const processIo: Io = {
  env: process.env,
  clock: systemClock,
  write: (text) => void process.stdout.write(text),
  note: (text) => void process.stderr.write(`${text}\n`),
};

const defaultStateDir = '/var/lib/relight';

/** `--state-dir`, else RELIGHT_STATE_DIR, else undefined. */
export function chosenStateDir(flag: string | undefined, env: Io['env']): string | undefined {
  const fromEnv = env['RELIGHT_STATE_DIR'];
  return flag ?? (fromEnv === undefined || fromEnv === '' ? undefined : fromEnv);
}

export function stateDirOrDefault(flag: string | undefined, env: Io['env']): string {
  return chosenStateDir(flag, env) ?? defaultStateDir;
}
