/** Why a service does not start, or has ended by itself, where people look first: the `Status:` line of `systemctl status`. */
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

/** Runs `service`, which says when it `serves`; what it fails with is told to systemd, and thrown on. */
export async function tellingWhy<T>(service: (serves: () => void) => Promise<T>, { env, clock, check }: StartRefusal): Promise<T> {
  // Whoever starts takes the socket out of its environment.
  const given = { ...env };
  let hasServed = false;
  try {
    return await service(() => {
      hasServed = true;
    });
  } catch (thrown) {
    if (thrown instanceof RelightError) {
      // Whoever cannot be told it here finds it in the journal.
      await new Systemd({ env: given, clock, onError: () => {} }).failing(refusalText(thrown, check, hasServed));
    }
    throw thrown;
  }
}

/** systemd keeps it all; a person reads a line or two. */
const firstMax = 200;

/**
 * What is refused, and the next step, in one line. Every user of the host may read it, and a configuration root alone: of what is wrong
 * in one only the places are said, for the messages quote what stands there.
 */
export function refusalText({ code, message, advice, data }: RelightError, check: string, hasServed = false): string {
  const places = Array.isArray(data['places']) ? data['places'].map((place) => `${String(place)}: is not valid`) : [];
  const lines = places.length > 0 ? places : message.split('\n').filter((line) => line.trim() !== '');
  const [first = '', ...others] = lines;
  const shown = first.length <= firstMax ? first : `${first.slice(0, firstMax - 1)}…`;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  const next =
    places.length > 0 ? `See why, and correct it: ${check}` : code === 'config-invalid' ? `Correct it, and look at it: ${check}` : advice;
  return `${hasServed ? 'ended with an error' : 'does not start'}: ${shown}${more}. ${next}`;
}
