/**
 * What is downloaded is asked for again when that fails: a mirror or a registry that does not answer for a moment must not end a run of an
 * hour. Which failure is one of the network nobody can tell from the words of five programs, so every one is taken for it.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** Before each further attempt. A registry that was overloaded is back after a minute; one that is away for longer is somebody's task. */
const pausesMs: readonly number[] = [5_000, 20_000, 60_000];

/** `attempt` must be able to follow one of its own that has failed half way. Fails as the last one did. */
export async function persistently<T>(what: string, attempt: () => Promise<T>, pauses: readonly number[] = pausesMs): Promise<T> {
  for (const pause of pauses) {
    try {
      return await attempt();
    } catch (error) {
      // The last lines of what the program said: the first one is the command.
      const said = (error instanceof Error ? error.message : String(error)).trimEnd().split('\n').slice(-3).join('\n  ');
      console.error(`relight: ${what} failed, next attempt in ${pause / 1_000} s:\n  ${said}`);
    }
    await sleep(pause);
  }
  return attempt();
}
