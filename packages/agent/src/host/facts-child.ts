import type { Clock } from '@relight/shared/clock';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { hostFactsSchema, type HostFacts } from '@relight/shared/status';
import { runChild } from '@relight/shared/child';

/** A driver in trouble keeps nvidia-smi for minutes. */
const deadlineMs = 20_000;

export type Program = readonly [string, ...string[]];

/** The program that is running now: the bundle, or main.ts in its sources. */
export const thisProgram = (): Program => [process.execPath, ...process.execArgv, process.argv[1] ?? ''];

/**
 * Asks a child (`relight-agent facts`) what takes long to find out, once. The child has a process group of its own, which is
 * killed after 20 s. Fails with host-facts-unknown.
 */
export async function askForFacts({ program, clock }: { readonly program: Program; readonly clock: Clock }): Promise<HostFacts> {
  const child = await runChild({ argv: [...program, 'facts'], clock, timeoutMs: deadlineMs });
  if (child.timedOut) throw unknown(`no answer within ${deadlineMs / 1_000} s`);
  if (child.exitCode !== 0) throw unknown(child.spawnError ?? `exit code ${child.exitCode ?? child.signal}: ${child.stderr.trim()}`);
  try {
    return hostFactsSchema.parse(JSON.parse(child.stdout));
  } catch (thrown) {
    throw unknown(errorMessage(thrown));
  }
}

const unknown = (why: string): RelightError => new RelightError('host-facts-unknown', `relight-agent facts: ${why}`);
