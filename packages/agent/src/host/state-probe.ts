/**
 * Whether the state directory takes a file. A file system that went read-only, or a full one, shows it here before the first thing
 * that matters is lost. One probe at a time: a disk that does not answer is not asked again.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import { rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { readMountinfo } from '../stages/proc.ts';
import type { ReportedCondition } from './condition-diff.ts';
import { mountOf } from './proc.ts';

const everyMs = 30_000;
/** A disk that needs longer to take one block is no disk that anything can rely on. */
const slowMs = 20_000;

export interface StateProbeOptions {
  readonly clock: Clock;
  readonly stateDir: string;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
}

export class StateProbe {
  readonly #options: StateProbeOptions;
  #asked: number | null = null;
  #timer: Timer | null = null;

  constructor(options: StateProbeOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock } = this.#options;
    const tick = (): void => {
      this.#timer = clock.after(everyMs, tick);
      void this.probe();
    };
    tick();
  }

  dispose(): void {
    this.#timer?.cancel();
  }

  /** Never rejects. */
  async probe(): Promise<void> {
    const { clock, stateDir, report } = this.#options;
    const now = clock.monotonic();
    if (this.#asked !== null) {
      if (now - this.#asked >= slowMs)
        report([
          unwritable(
            stateDir,
            mountPointOf(stateDir),
            'ETIMEDOUT',
            `a small file was not written within ${Math.round((now - this.#asked) / 1_000)} s`,
          ),
        ]);
      return;
    }
    this.#asked = now;
    const file = join(stateDir, '.writable');
    try {
      // One block, so that a full disk shows it; the inode alone may still be free.
      await writeFile(file, 'relight\n', { mode: 0o600, flush: true });
      await rm(file, { force: true });
      report([]);
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      // Deleted under a running agent: that has its own answer.
      report(code === 'ENOENT' ? [] : [unwritable(stateDir, mountPointOf(stateDir), code, errorMessage(error))]);
      await rm(file, { force: true }).catch(() => undefined);
    } finally {
      this.#asked = null;
    }
  }
}

/** As the mount table tells; the path itself, should that be unreadable. */
function mountPointOf(path: string): string {
  return mountOf(readMountinfo('/proc', process.pid) ?? [], resolve(path))?.mountPoint ?? path;
}

/** Pure. */
export function unwritable(stateDir: string, mountPoint: string, code: string, message: string): ReportedCondition {
  const reason = `the state directory ${stateDir} takes no file: ${message}`;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return {
      name: 'disk-full',
      subject: stateDir,
      severity: 'critical',
      reason,
      advice: 'Free disk space on this host; supervision goes on without its memory.',
    };
  }
  const advice =
    'Look at the disk (dmesg, mount): a file system that went read-only stays so until a reboot or a repair. Supervision goes on without its memory.';
  return { name: 'read-only-filesystem', subject: mountPoint, severity: 'critical', reason, advice };
}
