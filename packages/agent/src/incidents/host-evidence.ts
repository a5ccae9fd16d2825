/** What the host itself has to say about a failure. */
import type { Clock } from '@relight/shared/clock';
import type { HostMetrics } from '@relight/shared/status';
import { formatBytes } from '@relight/shared/units';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { MetricsSampler } from '../host/metrics.ts';
import { runChild } from '@relight/shared/child';
import { parseMountinfo } from '../stages/proc.ts';
import { notUrgentMs, type EvidenceSource, type Finding } from './evidence.ts';
import { kernelText, type KernelLine } from './kernel-words.ts';

export interface HostEvidenceOptions {
  readonly clock: Clock;
  /** The kernel log since then (epoch milliseconds), oldest first. */
  readonly kernelLines: (since: number) => readonly KernelLine[];
  /** Paths on the disks of interest. */
  readonly disks: readonly string[];
  /** Samples of the last ten minutes, oldest first. */
  readonly metrics: () => readonly HostMetrics[];
  readonly procRoot?: string;
  /** Where systemd shows that it runs. */
  readonly systemdRoot?: string;
}

const childTimeoutMs = 5_000;
const kernelLinesMax = 300;
const kernelMs = 10 * 60_000;
/** It is read with a small delay, and often has the last word. */
const kernelDelayMs = 2_000;
const outputBytesMax = 512 * 1024;

export function hostEvidence(options: HostEvidenceOptions): readonly EvidenceSource[] {
  const { procRoot = '/proc', systemdRoot = '/run/systemd/system' } = options;
  const source = (name: string, title: string, afterMs: number, read: EvidenceSource['read']): EvidenceSource => ({
    name,
    title,
    light: false,
    afterMs,
    needsContainer: false,
    read,
  });
  const gpus = new GpuReport(options.clock);
  return [
    source('kernel', 'the kernel log of the last ten minutes', kernelDelayMs, async ({ container }) =>
      kernel(options, container?.id ?? ''),
    ),
    source('disks', 'space and inodes of the disks', notUrgentMs, () => disks(options)),
    source('memory', 'memory of the host', 0, () => memory(procRoot)),
    source('mounts', 'mounts, as the container saw them', 0, async ({ container }) => [await mounts(procRoot, container?.pid ?? 0)]),
    source('gpus', 'nvidia-smi', notUrgentMs, (_, signal) => gpus.read(procRoot, signal)),
    source('engine', "the engine's journal", notUrgentMs, (_, signal) => journal(options.clock, systemdRoot, signal)),
    source('metrics', 'the host in the ten minutes before', notUrgentMs, async () => metricsTable(options.metrics())),
  ];
}

function kernel({ clock, kernelLines }: HostEvidenceOptions, containerId: string): Finding[] {
  const found = kernelLines(clock.now() - kernelMs).slice(-kernelLinesMax);
  if (found.length === 0) throw new Error('it says nothing of the last ten minutes');
  return [{ text: kernelText(found, containerId), keep: 'end' }];
}

async function disks({ clock, disks: paths }: HostEvidenceOptions): Promise<Finding[]> {
  // A sampler of its own: asking the host's would shorten the window of its rates.
  const { disks: found } = await new MetricsSampler({ clock, disks: paths }).sample();
  if (found.length === 0) throw new Error('none of them is a local disk that answers');
  const lines = found.map(
    ({ path, totalBytes, freeBytes, inodesFree }) =>
      `${path}: ${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}${inodesFree === undefined ? '' : `, ${inodesFree} inodes free`}`,
  );
  return [{ text: lines.join('\n'), keep: 'start' }];
}

async function memory(procRoot: string): Promise<Finding[]> {
  const pressure = await readFile(`${procRoot}/pressure/memory`, 'utf8').catch(() => 'not told by this kernel\n');
  const text = await readFile(`${procRoot}/meminfo`, 'utf8');
  return [{ text: `${text}\npressure:\n${pressure}`, keep: 'start' }];
}

/** Reading mountinfo never touches a mounted file system. */
async function mounts(procRoot: string, pid: number): Promise<Finding> {
  const own = pid === 0 ? '' : await readFile(`${procRoot}/${pid}/mountinfo`, 'utf8').catch(() => '');
  const text = own === '' ? await readFile(`${procRoot}/self/mountinfo`, 'utf8') : own;
  const lines = parseMountinfo(text).map(({ mountPoint, fsType, source, device }) => `${mountPoint}  ${fsType}  ${source}  ${device}`);
  const title = own === '' ? 'mounts of the host (the container is dead)' : 'mounts, as the container saw them';
  return { title, text: lines.join('\n'), keep: 'start' };
}

/** A stuck driver holds nvidia-smi for ever: another one is not started behind it. */
class GpuReport {
  readonly #clock: Clock;
  #stuck = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async read(procRoot: string, signal: AbortSignal): Promise<Finding[]> {
    if (!existsSync(`${procRoot}/driver/nvidia`)) throw new Error('no NVIDIA driver is loaded on this host');
    if (this.#stuck) throw new Error('an earlier nvidia-smi is still stuck in the driver');
    const child = await runChild({ argv: ['nvidia-smi'], clock: this.#clock, timeoutMs: childTimeoutMs, signal });
    if (child.survivor !== null) {
      this.#stuck = true;
      void child.survivor.then(() => (this.#stuck = false));
    }
    if (child.timedOut) throw new Error('nvidia-smi does not answer: the driver may be stuck');
    if (child.spawnError !== null) throw new Error(`nvidia-smi cannot be started: ${child.spawnError}`);
    return [{ text: child.stdout + child.stderr, keep: 'start' }];
  }
}

async function journal(clock: Clock, systemdRoot: string, signal: AbortSignal): Promise<Finding[]> {
  if (!existsSync(systemdRoot)) throw new Error('systemd does not run here, so the engine has no journal');
  const argv = [
    'journalctl',
    '-u',
    'docker',
    '-u',
    'containerd',
    '-n',
    '200',
    '--no-pager',
    '-o',
    'short-iso',
    '--since',
    '-15min',
  ] as const;
  return [{ text: await said(argv, clock, signal), keep: 'end' }];
}

async function said(argv: readonly [string, ...string[]], clock: Clock, signal: AbortSignal): Promise<string> {
  const child = await runChild({ argv, clock, timeoutMs: childTimeoutMs, signal, outputBytesMax });
  if (child.spawnError !== null) throw new Error(`${argv[0]} cannot be started: ${child.spawnError}`);
  if (child.timedOut) throw new Error(`${argv[0]} did not answer within ${childTimeoutMs / 1_000} s`);
  if (child.stdout.trim() === '') throw new Error(child.stderr.trim() || 'it is empty');
  return child.stdout;
}

function metricsTable(samples: readonly HostMetrics[]): Finding[] {
  if (samples.length === 0) throw new Error('not measured yet');
  const share = (value: number | undefined): string => (value === undefined ? '-' : `${Math.round(value * 100)} %`);
  const size = (value: number | undefined): string => (value === undefined ? '-' : formatBytes(value));
  const lines = samples.map(({ at, load1, cpuUsed, memoryAvailableBytes, disks: found }) =>
    [
      new Date(at).toISOString(),
      `load ${load1?.toFixed(2) ?? '-'}`,
      `cpu ${share(cpuUsed)}`,
      `memory free ${size(memoryAvailableBytes)}`,
      ...found.map(({ path, freeBytes }) => `${path} free ${formatBytes(freeBytes)}`),
    ].join('  '),
  );
  return [{ text: lines.join('\n'), keep: 'end' }];
}
