/** `docker` of a cluster file → the container section: the command line that Ray makes of it, read as Docker would. */
import { RelightError } from '@relight/shared/errors';
import { splitShellWords } from '../../shell-words.ts';
import { draftOf } from '../docker-run.ts';
import { parseDockerRun, type Flag } from '../docker-run-words.ts';
import { sizeText, type ContainerDraft } from '../draft.ts';
import type { RayDocker } from './cluster.ts';
import type { RayReport } from './report.ts';
import { markExpansions } from './shell-expansions.ts';

/** What Ray asks the host before it starts the container. Null: not known here. */
export interface HostAnswers {
  /** `MemAvailable` of /proc/meminfo. */
  readonly memoryAvailableBytes: number | null;
  /** The engine lists nvidia-container-runtime (or nvidia), and `nvidia-smi` succeeds. */
  readonly nvidia: boolean | null;
}

/** Ray's DEFAULT_OBJECT_STORE_MEMORY_PROPORTION, and 10 % more. */
const shmShare = 0.3 * 1.1;
/** Ray's DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES. */
const shmBytesMax = 200e9;
const mark = '\uE000';

/** Fails with config-invalid when the options are none that Docker would take. */
export function rayContainer(docker: RayDocker, host: HostAnswers, file: string, report: RayReport): ContainerDraft {
  const { flags, image } = parseOptions(docker, file);
  const known = withoutExpansions(flags, docker.options[0]?.line ?? docker.line, report);
  const { container, lost } = draftOf({ flags: known, image, command: ['sleep', 'infinity'] });
  for (const text of lost) report.left(docker.options[0]?.line ?? docker.line, `docker.run_options: ${text}`);
  report.changed(
    docker.line,
    'Ray holds the container open with a bash on a terminal; here it is sleep infinity under an init that reaps what dies',
  );
  const runtime = nvidiaRuntime(docker, container, host, report);
  return {
    ...container,
    // Nothing was carried over from the options when Docker's own `-it` had none of it.
    init: true,
    pull_policy: container['pull_policy'] ?? (docker.pullBeforeRun ? 'always' : 'missing'),
    shm_size: container['shm_size'] ?? sharedMemory(docker, host, report),
    ...(runtime ? { runtime: 'nvidia' } : {}),
  };
}

/** The line that Ray builds; what is given later wins. */
function parseOptions(docker: RayDocker, file: string): { readonly flags: readonly Flag[]; readonly image: string } {
  const options = docker.options.map(({ text }) => text).join(' ');
  const line = docker.options[0]?.line ?? docker.line;
  const invalid = (why: string): RelightError =>
    new RelightError('config-invalid', `${file}:${line}: docker.run_options: ${why}`, {
      advice: 'The options are joined with spaces and split as a shell does, as Ray has it.',
    });
  const words = splitShellWords(markExpansions(options, mark));
  if (words === undefined) throw invalid('a quote is never closed');
  const ray = ['docker', 'run', '--rm', '--name', docker.containerName, '-d', '-e', 'LC_ALL=C.UTF-8', '-e', 'LANG=C.UTF-8'];
  try {
    return parseDockerRun([...ray, ...words, '--net=host', docker.image, 'bash']);
  } catch (thrown) {
    if (thrown instanceof RelightError && thrown.code === 'usage') throw invalid(thrown.message);
    throw thrown;
  }
}

/** What the shell of the host would have put in there is not known here. */
function withoutExpansions(flags: readonly Flag[], line: number, report: RayReport): readonly Flag[] {
  return flags.filter(({ name, value }) => {
    if (!value.includes(mark)) return true;
    report.left(
      line,
      `docker.run_options: --${name} ${value.replaceAll(mark, '')}: the host's shell would expand it; write the value itself`,
    );
    return false;
  });
}

function sharedMemory(docker: RayDocker, { memoryAvailableBytes }: HostAnswers, report: RayReport): string | undefined {
  if (!docker.detectShmSize) return undefined;
  if (memoryAvailableBytes === null) {
    report.left(docker.line, 'shared memory: the memory of this host is not known; Ray gives 33 % of what is available: add shm_size');
    return undefined;
  }
  const bytes = Math.floor(Math.min(memoryAvailableBytes * shmShare, shmBytesMax));
  // Whole megabytes: nobody reads the rest.
  const size = sizeText(Math.floor(bytes / 1024 ** 2) * 1024 ** 2);
  report.changed(
    docker.line,
    `shm_size: ${size}, as Ray reckons from the memory available on this host now; give a fixed one if the worker is another host`,
  );
  return size;
}

function nvidiaRuntime(docker: RayDocker, container: ContainerDraft, { nvidia }: HostAnswers, report: RayReport): boolean {
  if (!docker.detectRuntime || container['runtime'] !== undefined) return false;
  if (nvidia === null) {
    report.left(
      docker.line,
      'the runtime: the engine of this host did not answer; where it has nvidia and nvidia-smi works, add runtime: nvidia',
    );
    return false;
  }
  if (nvidia) report.changed(docker.line, 'runtime: nvidia, because the engine of this host has it and nvidia-smi works');
  return nvidia;
}
