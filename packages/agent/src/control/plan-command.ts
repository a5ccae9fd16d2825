/**
 * `relight-agent plan`: what would be done. Reads the configuration and the stored state, and asks the engine for the images of new
 * containers; touches nothing.
 */
import { join } from 'node:path';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { loadConfig } from '../config/load.ts';
import type { AgentSpec, WorkloadSpec } from '../config/spec.ts';
import { DockerEngine } from '../engine/docker-engine.ts';
import type { Engine } from '../engine/engine.ts';
import { readSwapped } from '../host/atomic-file.ts';
import { withJoined } from '../uplink/joined.ts';
import { hostDefaults } from './host-defaults.ts';
import { chosenStateDir, type ExitCode, type Io } from './io.ts';
import { imagesOfNewContainers, planOf } from './plan.ts';
import { planLines } from './plan-view.ts';

const callMs = 10_000;

export interface PlanOptions {
  readonly config: string;
  readonly stateDir?: string;
  readonly json?: boolean;
}

/** Fails with config-invalid or config-unreadable. */
export async function planCommand(
  options: PlanOptions,
  io: Io,
  openEngine: (socketPath: string) => Pick<Engine, 'hasImage'> = (socketPath) => new DockerEngine({ socketPath }),
): Promise<ExitCode> {
  const configured = await loadConfig(options.config, hostDefaults());
  const stateDir = chosenStateDir(options.stateDir, io.env) ?? configured.stateDir;
  const spec = withCollector(configured, stateDir, io);
  const stored = new Map<string, WorkloadSpec | null>();
  for (const { name } of spec.workloads) stored.set(name, storedSpec(join(stateDir, 'workloads', `${name}.json`), io));
  const storedOf = (name: string): WorkloadSpec | null => stored.get(name) ?? null;
  const plan = planOf(spec, stateDir, storedOf, await absentImages(spec, imagesOfNewContainers(spec, storedOf), io, openEngine));
  io.write(options.json === true ? `${JSON.stringify(plan, null, 2)}\n` : `${planLines(plan).join('\n')}\n`);
  return 0;
}

/** What the host has joined counts where the file names none. One that cannot be read is said: the plan is worth having without it. */
function withCollector(spec: AgentSpec, stateDir: string, io: Io): AgentSpec {
  try {
    return withJoined(spec, stateDir);
  } catch (thrown) {
    io.note(`whether this host has joined a collector is not shown: ${errorMessage(thrown)}`);
    return spec;
  }
}

/** An engine that does not answer is said: the plan is worth having without it. */
async function absentImages(
  { engine: { socket } }: AgentSpec,
  images: ReadonlySet<string>,
  io: Io,
  openEngine: (socketPath: string) => Pick<Engine, 'hasImage'>,
): Promise<ReadonlySet<string>> {
  const absent = new Set<string>();
  try {
    for (const image of images) if (!(await openEngine(socket).hasImage(image, { timeoutMs: callMs }))) absent.add(image);
  } catch (thrown) {
    io.note(`whether the images are on this host is not shown: the engine at ${socket}: ${errorMessage(thrown)}`);
  }
  return absent;
}

/** Null when there is none. One that cannot be read is said, and then counts as none: the plan is still worth having. */
function storedSpec(path: string, io: Io): WorkloadSpec | null {
  try {
    const text = readSwapped(path);
    if (text === null) return null;
    const saved = JSON.parse(text.toString('utf8')) as { readonly spec?: WorkloadSpec };
    const { spec } = saved;
    if (typeof spec?.container !== 'object' || !Array.isArray(spec.mounts) || !Array.isArray(spec.setup))
      throw new RelightError('internal', 'it holds no specification');
    return spec;
  } catch (thrown) {
    io.note(`${path} cannot be read, so changes are not shown: ${errorMessage(thrown)}`);
    return null;
  }
}
