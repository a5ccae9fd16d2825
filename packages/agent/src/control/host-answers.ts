/** What `ray up` asks a host before it starts the container: the memory that is available, and whether the engine has NVIDIA's runtime. */
import { readFile } from 'node:fs/promises';
import { systemClock } from '@relight/shared/clock';
import type { HostAnswers } from '../config/import/ray/options.ts';
import { DockerEngine } from '../engine/docker-engine.ts';
import { runChild } from '@relight/shared/child';

const engineMs = 5_000;
/** A stuck driver holds nvidia-smi for ever. */
const nvidiaSmiMs = 10_000;

export async function hostAnswers(socketPath: string): Promise<HostAnswers> {
  const meminfo = await readFile('/proc/meminfo', 'utf8').catch(() => '');
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return { memoryAvailableBytes: kib === undefined ? null : Number(kib) * 1024, nvidia: await hasNvidia(socketPath) };
}

async function hasNvidia(socketPath: string): Promise<boolean | null> {
  const runtimes = await new DockerEngine({ socketPath }).info({ timeoutMs: engineMs }).then(
    (info) => info.runtimes,
    () => null,
  );
  if (runtimes === null) return null;
  if (!runtimes.some((name) => /^nvidia(-container-runtime)?$/.test(name))) return false;
  const { exitCode } = await runChild({
    argv: ['nvidia-smi'],
    clock: systemClock,
    timeoutMs: nvidiaSmiMs,
    signal: new AbortController().signal,
    env: process.env,
    outputBytesMax: 64 * 1024,
  });
  return exitCode === 0;
}
