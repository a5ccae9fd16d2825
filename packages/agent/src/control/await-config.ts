/**
 * A service whose configuration is not there: on a host that has joined and was not set up yet, or while an editor or a deployment
 * replaces the file. It waits, says so where people look (`systemctl status`, the journal), and begins by itself: failing would fill the
 * journal with the same line every five seconds.
 */
import { stat } from 'node:fs/promises';
import { delay, type Clock } from '@relight/shared/clock';
import { Systemd } from '@relight/shared/systemd';
import type { Logger } from 'pino';
import { fileIdentity } from '../config/file-identity.ts';

/** Between two looks; it must look the same at two of them, so that one half written is not read. */
const lookMs = 1_000;

/** From the configuration to the first look: `TimeoutStartSec` of the unit, which counts for a host that has its configuration at the start. */
export const startAllowedMs = 120_000;

export interface AwaitConfig {
  readonly clock: Clock;
  /** As systemd has given it; it is left as it is. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

/** Resolves when the file is there, at once where it is; whether it can be used is for its reader to say. */
export async function awaitConfig(file: string, { clock, env, logger }: AwaitConfig): Promise<void> {
  if (!(await isMissing(file))) return;
  const systemd = new Systemd({ env: { ...env }, clock, onError: (message) => logger.warn(message) });
  logger.warn({ config: file }, `there is no configuration: ${file} is waited for. Make it: relight-agent setup`);
  systemd.ready(`waits for its configuration: ${file} is not there. Make it: relight-agent setup`);
  // Timers of a clock keep no process alive.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    for (let before: string | null = null; ;) {
      await delay(clock, lookMs);
      systemd.progress();
      const now = await fileIdentity(file);
      if (now !== null && now === before) break;
      before = now;
    }
  } finally {
    clearInterval(alive);
  }
  await systemd.starting(startAllowedMs);
  logger.info({ config: file }, 'the configuration is there');
}

async function isMissing(file: string): Promise<boolean> {
  return stat(file).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  );
}
