/**
 * Does the container still have its GPUs? A container loses its right to the devices when systemd reloads its units
 * (`systemctl daemon-reload`): nvidia-smi then fails inside while the host's works, and only a new container mends it. While a
 * compute process of the container still runs on a GPU, that is only reported: it has its devices open and may finish.
 */
import { RelightError } from '@relight/shared/errors';
import { formatDurationMs } from '@relight/shared/units';
import type { GpuReport } from '../host/accelerators/gpu-report.ts';
import { gpuFaultOf } from '../host/accelerators/gpu-fault.ts';
import { lastLine } from '../stages/output.ts';
import { listPids, readCgroup, readStat } from '../stages/proc.ts';
import { measured, type Outcome } from './outcome.ts';
import type { Probe, ProbeContext } from './probe.ts';

/** What the host knows of its GPUs. */
export interface HostGpus {
  /** A fresh report; a text: why there is none. */
  report(): Promise<GpuReport | string>;
}

const program = 'nvidia-smi';

export const gpu: Probe<'gpu'> = (spec, context) =>
  measured(context, async () => {
    const { engine, containerId, timeoutMs, signal } = context;
    if (stillAsked(containerId)) return report('an earlier nvidia-smi in the container has not ended yet: the driver hangs');
    const answer = await engine
      .exec(containerId, { argv: [program, '-L'] }, { timeoutMs, signal })
      .catch((thrown: unknown) => notThere(thrown) ?? tooLate(thrown, context));
    if ('ok' in answer) return answer.message === absent && !spec.automatic ? report(absent) : answer;
    const said = `${answer.stdout}\n${answer.stderr}`;
    const gpus = [...answer.stdout.matchAll(/^GPU \d+:/gm)].length;
    if (answer.exitCode === 0 && gpus > 0) return { ok: true, message: `${gpus} GPUs` };
    const why = lastLine(said) || `nvidia-smi: exit code ${answer.exitCode}`;
    return await judge(gpuFaultOf(answer.exitCode, said) === 'nvml-unknown', why, context);
  });

/** Nothing but a new container mends a lost right to the devices; everything else is the host's trouble, and told there. */
async function judge(lost: boolean, why: string, { gpus, containerId }: ProbeContext): Promise<Outcome> {
  if (gpus === undefined) return { ok: false, message: why };
  const host = await gpus.report();
  if (typeof host === 'string') return report(`${why}; the host's own nvidia-smi fails as well: ${host}`);
  if (!lost) return report(`${why}; the host's nvidia-smi works`);
  const working = host.gpus
    .flatMap(({ processes }) => processes)
    .filter(({ pid, compute }) => compute && readCgroup('/proc', pid)?.includes(containerId) === true);
  if (working.length === 0) return { ok: false, message: `${why} (the host's nvidia-smi works)`, code: 'gpu-lost' };
  const names = working.map(({ pid, name }) => `${name} (pid ${pid})`);
  return report(`${why}; ${names.join(', ')} still runs on a GPU, so the container is left alone`);
}

/** Seen, told, and not acted on. */
const report = (message: string): Outcome => ({ ok: false, message, reportOnly: true });

const absent = 'nvidia-smi is not in the container (the driver capability "utility"): its GPUs are not checked';

function notThere(thrown: unknown): Outcome | null {
  const missing = thrown instanceof RelightError && thrown.code === 'exec-failed' && /not found|no such file/i.test(thrown.message);
  return missing ? { ok: true, message: absent } : null;
}

/** Containers whose nvidia-smi was killed at its deadline: it may have survived that (D state), and is not joined by another. */
const late = new Set<string>();

function tooLate(thrown: unknown, { containerId, timeoutMs }: ProbeContext): Outcome {
  if (!(thrown instanceof RelightError) || thrown.code !== 'stage-timeout') throw thrown;
  late.add(containerId);
  return report(`nvidia-smi in the container did not end within ${formatDurationMs(timeoutMs)}`);
}

function stillAsked(containerId: string): boolean {
  if (!late.has(containerId)) return false;
  const alive = listPids('/proc').some(
    (pid) => readCgroup('/proc', pid)?.includes(containerId) === true && readStat('/proc', pid)?.comm === program,
  );
  if (!alive) late.delete(containerId);
  return alive;
}
