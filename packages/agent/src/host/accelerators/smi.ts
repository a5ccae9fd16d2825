/**
 * Asks `nvidia-smi` of this host. Never two at once; a probe that survives SIGKILL (a driver that hangs keeps it in the
 * kernel) is parked, and while it lives nobody asks again: every further probe would hang as well.
 */
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Clock } from '@relight/shared/clock';
import { formatDurationMs } from '@relight/shared/units';
import { type ChildRequest, type ChildResult, runChild } from '@relight/shared/child';
import { lastLine } from '../../stages/output.ts';
import { gpuFaultOf } from './gpu-fault.ts';
import type { GpuLook } from './gpu-look.ts';
import { parseNvidiaXml } from './nvidia-xml.ts';

const timeoutMs = 10_000;
/** 120 KB a card; 16 of them. */
const outputBytesMax = 4 * 1024 * 1024;

export interface SmiOptions {
  readonly clock: Clock;
  /** The agent's own PATH. */
  readonly path: string;
  readonly run?: (request: ChildRequest) => Promise<ChildResult>;
}

export class Smi {
  readonly #options: SmiOptions;
  readonly #run: (request: ChildRequest) => Promise<ChildResult>;
  #asking: Promise<GpuLook | null> | null = null;
  #parked = false;

  constructor(options: SmiOptions) {
    this.#options = options;
    this.#run = options.run ?? runChild;
  }

  /** Null: there is no nvidia-smi on this host. Whoever asks meanwhile gets the same answer. Never rejects. */
  look(): Promise<GpuLook | null> {
    this.#asking ??= this.#look().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #look(): Promise<GpuLook | null> {
    if (this.#parked) return { kind: 'stuck' };
    const program = await findProgram('nvidia-smi', this.#options.path);
    if (program === null) return null;
    const child = await this.#run({ argv: [program, '-q', '-x'], clock: this.#options.clock, timeoutMs, outputBytesMax });
    if (child.survivor !== null) {
      this.#parked = true;
      void child.survivor.then(() => {
        this.#parked = false;
      });
      return { kind: 'stuck' };
    }
    if (child.timedOut) return { kind: 'timeout', message: `nvidia-smi did not answer within ${formatDurationMs(timeoutMs)}` };
    return judge(child);
  }
}

/** Pure. */
export function judge({ exitCode, signal, stdout, stderr, spawnError }: Omit<ChildResult, 'survivor' | 'timedOut'>): GpuLook {
  const start = stdout.indexOf('<nvidia_smi_log');
  const report = start < 0 ? null : parseNvidiaXml(stdout.slice(start));
  const said = `${start < 0 ? stdout : stdout.slice(0, start)}\n${stderr}`;
  const message = spawnError ?? (lastLine(said) || (signal === null ? `exit code ${exitCode}` : `killed by ${signal}`));
  const fault = gpuFaultOf(exitCode, said);
  if (report === null || (report.gpus.length === 0 && report.attached !== 0)) return { kind: 'fault', fault, message };
  // A lost card is told beside the report of the others.
  return { kind: 'report', report, complaint: exitCode === 0 ? null : { fault, message } };
}

async function findProgram(name: string, path: string): Promise<string | null> {
  for (const directory of path.split(delimiter)) {
    if (directory === '') continue;
    const candidate = join(directory, name);
    const runs = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return candidate;
  }
  return null;
}
