/** `relight-agent import …`: a configuration on stdout, what could not be carried over on stderr. */
import { RelightError } from '@relight/shared/errors';
import { importContainer } from '../config/import/container.ts';
import { importDockerRun } from '../config/import/docker-run.ts';
import type { Imported } from '../config/import/draft.ts';
import { importRay } from '../config/import/ray/import-ray.ts';
import type { HostAnswers } from '../config/import/ray/options.ts';
import { noteWords } from '../config/import/ray/report.ts';
import { parseConfig, readConfigText } from '../config/load.ts';
import { isSecretName } from '../config/secret-names.ts';
import type { AgentSpec } from '../config/spec.ts';
import { DockerEngine } from '../engine/docker-engine.ts';
import type { Engine } from '../engine/engine.ts';
import { hostAnswers } from './host-answers.ts';
import type { ExitCode, Io } from './io.ts';

export interface RayFlags {
  readonly nodeType?: string;
  readonly head?: string;
  readonly socket: string;
}

/** What Ray would ask the host before it starts the container. */
export type AskHost = (socketPath: string) => Promise<HostAnswers>;

/** Fails with config-unreadable, config-invalid (with the place) or usage. */
export async function importRayCommand(
  file: string,
  { socket, ...flags }: RayFlags,
  io: Io,
  askHost: AskHost = hostAnswers,
): Promise<ExitCode> {
  const text = await readConfigText(file);
  const { yaml, notes } = importRay(text, { file, ...flags, host: await askHost(socket) });
  io.write(yaml);
  for (const { kind, line, text: what } of notes) io.note(`${noteWords[kind]}: ${file}:${line}: ${what}`);
  return readsBack(yaml, io);
}

/** `argv`: the command after `--`, word by word, or as one text. Fails with usage. */
export async function importDockerRunCommand(argv: readonly string[], io: Io): Promise<ExitCode> {
  return print(importDockerRun(argv), io);
}

/** Fails with not-found, and with whatever keeps the engine from answering. */
export async function importContainerCommand(
  name: string,
  options: { readonly socket: string },
  io: Io,
  openEngine: (socketPath: string) => Engine = (socketPath) => new DockerEngine({ socketPath }),
): Promise<ExitCode> {
  const engine = openEngine(options.socket);
  const container = await engine.inspectRaw(name);
  if (container === null) {
    throw new RelightError('not-found', `there is no container named ${JSON.stringify(name)}`, { advice: 'Look at: docker ps --all' });
  }
  const imageId = container['Image'];
  const image = typeof imageId === 'string' ? await engine.inspectImage?.(imageId) : null;
  return print(importContainer(container, image ?? null), io);
}

function print({ yaml, notCarriedOver }: Imported, io: Io): ExitCode {
  io.write(yaml);
  for (const line of notCarriedOver) io.note(`not carried over: ${line}`);
  return readsBack(yaml, io);
}

/** They stand in what was printed, which a shell writes to a file that everybody may read. */
function noteSecrets({ workloads }: AgentSpec, io: Io): void {
  const names = workloads.flatMap(({ container }) => Object.keys(container.environment)).filter(isSecretName);
  if (names.length === 0) return;
  io.note(
    `secret by its name: ${names.join(', ')}: in the output as it is. Put it into a file for env_file, or let only root read the output (0600)`,
  );
}

/** Docker takes a few things that Relight refuses; they are named here, not on the host where the file goes. */
function readsBack(yaml: string, io: Io): ExitCode {
  try {
    noteSecrets(parseConfig(yaml, '/stdout', { hostname: 'localhost' }), io);
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof RelightError)) throw thrown;
    io.note(`the configuration needs a correction by hand:\n${thrown.message.replaceAll('/stdout:', 'stdout:')}`);
    return 2;
  }
}
