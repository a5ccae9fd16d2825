/** The output of host commands as a log stream of the host: one file an execution, followed like those of runs in containers. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hostLogs, type SegmentKey } from '@relight/shared/log-stream';
import type { LogShipper, SegmentFile } from '../../logs/log-shipper.ts';

const suffix = '.log';
/** When it was started (ms), which step it is, and its name. */
const runForm = /^\d{13,}-\d+-[\w.-]+$/;

export class SetupLogs {
  readonly directory: string;
  readonly #logs: LogShipper;

  constructor(directory: string, logs: LogShipper) {
    this.directory = directory;
    this.#logs = logs;
  }

  /** What an earlier life of the agent has left: it wrote these files itself, so nobody writes them any more. */
  recover(): void {
    for (const file of segmentsIn(this.directory)) {
      this.#logs.follow(file);
      this.#logs.finish(file.key);
    }
  }

  /** @returns the name of the file to write to, and what to call when nothing more is written */
  begin(startedAt: number, step: number, title: string): { readonly fileName: string; end(): void } {
    const run = `${startedAt}-${step}-${title.replaceAll(/[^\w.-]+/g, '-').slice(0, 60)}`;
    const fileName = `${run}${suffix}`;
    const key = keyOf(run);
    this.#logs.follow({ key, path: join(this.directory, fileName), format: 'raw' });
    return { fileName, end: () => this.#logs.finish(key) };
  }
}

/** No generation: nothing is made anew when a host command is executed again. */
const keyOf = (run: string): SegmentKey => ({ workload: hostLogs, generation: 0, source: 'setup', run });

function segmentsIn(directory: string): SegmentFile[] {
  return list(directory).flatMap((name): SegmentFile[] => {
    const run = name.slice(0, -suffix.length);
    return name.endsWith(suffix) && runForm.test(run) ? [{ key: keyOf(run), path: join(directory, name), format: 'raw' }] : [];
  });
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch {
    // No host command has been executed here yet.
    return [];
  }
}
