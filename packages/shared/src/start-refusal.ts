/** Why a service does not start, where people look first: the `Status:` line of `systemctl status`. */
import type { Clock } from './clock.ts';
import { RelightError } from './errors.ts';
import { Systemd } from './systemd.ts';

export interface StartRefusal {
  /** As systemd has given it; it is left as it is. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** What looks at the whole of a configuration. */
  readonly check: string;
}

/** Runs `start`; what it fails with is told to systemd, and thrown on. */
export async function tellingWhy<T>(start: () => Promise<T>, { env, clock, check }: StartRefusal): Promise<T> {
  // Whoever starts takes the socket out of its environment.
  const given = { ...env };
  try {
    return await start();
  } catch (thrown) {
    if (thrown instanceof RelightError) {
      // Whoever cannot be told it here finds it in the journal.
      await new Systemd({ env: given, clock, onError: () => {} }).failing(refusalText(thrown, check));
    }
    throw thrown;
  }
}

/** systemd keeps it all; a person reads a line or two. */
const firstMax = 200;

/** What is refused, and the next step, in one line. */
export function refusalText({ code, message, advice }: RelightError, check: string): string {
  const [first = '', ...others] = message.split('\n').filter((line) => line.trim() !== '');
  const shown = first.length <= firstMax ? first : `${first.slice(0, firstMax - 1)}…`;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  const next = code === 'config-invalid' ? `Correct it, and look at it: ${check}` : advice;
  return `does not start: ${shown}${more}. ${next}`;
}
