/**
 * Removes what containers that are over have left in their run directories beyond what is ever read (run-files.ts gives it up), and says
 * so: a file tells nothing of whether its lines were sent. By a child, and nobody waits for it: they may be millions of files.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runChild } from '@relight/shared/child';
import type { Clock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import type { Logger } from 'pino';
import { givenUpEnding } from './run-files.ts';

export interface GivenUpLogsOptions {
  readonly runRoot: string;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
  /** A word to people about a workload. */
  readonly notice: (workload: string, message: string, data: Record<string, unknown>) => void;
}

const removeMsMax = 10 * 60_000;
/** After one that failed: a disk that takes nothing. */
const pauseMs = 10 * 60_000;

export class GivenUpLogs {
  readonly #options: GivenUpLogsOptions;
  readonly #told = new Set<string>();
  #busy = false;
  /** Monotonic. */
  #notBefore = 0;

  constructor(options: GivenUpLogsOptions) {
    this.#options = options;
  }

  /** Whatever there is of them now. Never rejects. */
  async remove(): Promise<void> {
    const { clock, logger, runRoot } = this.#options;
    if (this.#busy || clock.monotonic() < this.#notBefore) return;
    this.#busy = true;
    try {
      for (const workload of await namesIn(runRoot)) {
        for (const name of await namesIn(join(runRoot, workload))) {
          if (name.endsWith(givenUpEnding)) await this.#remove(workload, name);
        }
      }
    } catch (error) {
      this.#notBefore = clock.monotonic() + pauseMs;
      logger.warn({ reason: errorMessage(error) }, 'files that a container has left cannot be removed yet');
    } finally {
      this.#busy = false;
    }
  }

  async #remove(workload: string, name: string): Promise<void> {
    const { clock, notice, runRoot } = this.#options;
    const path = join(runRoot, workload, name);
    const generation = Number(name.slice(0, -givenUpEnding.length));
    if (!this.#told.has(path)) {
      const message = `the container of generation ${generation} left more files in /run/relight than are read: they are removed, and with them what was not sent of its logs`;
      notice(workload, message, { generation });
    }
    this.#told.add(path);
    const { exitCode, stderr, spawnError } = await runChild({ argv: ['rm', '-rf', '--', path], clock, timeoutMs: removeMsMax });
    if (exitCode !== 0) throw new Error(`${path}: ${spawnError ?? (stderr.split('\n', 1)[0] || 'it takes too long')}`);
    this.#told.delete(path);
  }
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
