/** What is done for a prepared spare, and its taking over. Mounts and steps in it are placed by the stages of the workload itself. */
import { createHash } from 'node:crypto';
import { RelightError } from '@relight/shared/errors';
import { specFingerprint } from '../config/impact.ts';
import { readEnvFiles } from '../config/secrets.ts';
import type { Command, MountSpec, SetupStep } from '../config/spec.ts';
import { MountProbes } from '../checks/mount.ts';
import { lookAtVolumes } from '../checks/volumes.ts';
import { createOptions, managedLabels } from '../engine/create-options.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import type { Op, OpValue } from '../supervisor/op.ts';
import { type SpareInputs, type SpareOffer, spareLabel, spareName } from '../supervisor/spare-state.ts';
import { throwIfAborted } from './context.ts';
import { isWanted } from './mount-program.ts';
import { fuseOnTop, readMountinfo } from './proc.ts';
import { onDisk } from './disk-trouble.ts';
import { makeRunDirectory, runRootOf } from './run-files.ts';
import { commandArgv } from './run-wrapper.ts';
import type { StageContext } from './stage.ts';
import { usedInside } from './variable-use.ts';

/** A daemon answers statfs without its network. */
const mountTimeoutMs = 1_000;
/** Recovery waits for it: a step's verify that takes longer is no proof in time. */
const verifyTimeoutMs = 5_000;

/** What a container would be made from at this moment, with the variables of `context`. */
export async function spareInputs({ engine, spec, vars, signal }: StageContext): Promise<SpareInputs> {
  const { image, envFile } = spec.container;
  const [document, secrets] = await Promise.all([engine.inspectImage?.(image, { signal }), readEnvFiles(envFile)]);
  const used = Object.entries(vars).filter(([name]) => usedInside(name, spec));
  const id = document?.['Id'];
  return { image: typeof id === 'string' ? id : '', secrets: digest(secrets), vars: digest(Object.fromEntries(used)) };
}

const digest = (value: Readonly<Record<string, string>>): string =>
  createHash('sha256')
    .update(JSON.stringify(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))))
    .digest('base64url')
    .slice(0, 16);

/** A container like the workload's own, under another name. One that a crash has left under it goes first. */
export async function createSpare(generation: number, context: StageContext): Promise<{ readonly containerId: string }> {
  const { engine, spec, agent, ownerId, signal } = context;
  const { container } = spec;
  const body = createOptions({
    spec: container,
    workload: spec.name,
    generation,
    ownerId,
    fingerprint: specFingerprint(spec),
    runDirectory: onDisk(() => makeRunDirectory(runRootOf(agent.stateDir), spec.name, generation)),
    secrets: await readEnvFiles(container.envFile),
  });
  const name = spareName(container.name);
  const holder = await engine.inspect(name, { signal });
  if (holder !== null) {
    if (holder.labels[managedLabels.agent] !== ownerId)
      throw new RelightError('name-conflict', `the name "${name}" of the spare is held by a container of somebody else`);
    await engine.remove(holder.id, { signal });
  }
  const { id } = await engine.create(name, { ...body, Labels: { ...body.Labels, [spareLabel]: 'true' } }, { signal });
  return { containerId: id };
}

type TakeOp = Extract<Op, { kind: 'take-spare' }>;
type TakeValue = Extract<OpValue, { kind: 'take-spare' }>;

/** The spare becomes the workload's container. Nothing is taken on trust, and all is asked at once. Fails with spare-unusable. */
export async function takeSpare({ offer }: TakeOp, context: StageContext): Promise<TakeValue> {
  const { engine, spec, signal } = context;
  const inspected = engine.inspect(offer.containerId, { signal });
  const steps = spec.setup.filter((item) => item.kind === 'step');
  // All of them come to an end before the verdict: what is refused is thrown away.
  const answers = await Promise.allSettled([
    inspected.then((facts) => runsAsPrepared(facts, offer)),
    sameInputs(offer.inputs, context),
    hasGpus(offer.containerId, context),
    volumesAnswer(offer.pid, context),
    ...spec.mounts.map((mount) => mountAnswers(mount, offer.pid, context)),
    ...steps.map((step) => stepHolds(step, offer.containerId, context)),
  ]);
  throwIfAborted(signal);
  const facts = await inspected;
  const refusal = answers.find((answer) => answer.status === 'rejected');
  if (facts === null || refusal !== undefined) {
    // Renamed by a call whose answer was lost: its name is needed by the one that is made instead.
    if (facts?.name === spec.container.name) await engine.rename(facts.id, spareName(spec.container.name), { signal });
    throw refusal?.reason ?? unusable('it is gone');
  }
  if (facts.name !== spec.container.name) await engine.rename(facts.id, spec.container.name, { signal });
  return { kind: 'take-spare', pid: facts.pid };
}

function runsAsPrepared(facts: ContainerFacts | null, { startedAt, pid }: SpareOffer): void {
  if (facts === null) throw unusable('it is gone');
  if (facts.status !== 'running' || facts.startedAt !== startedAt || facts.pid !== pid)
    throw unusable(`it is ${facts.status}, and not as it was prepared`);
}

async function sameInputs(made: SpareInputs, context: StageContext): Promise<void> {
  const now = await spareInputs(context);
  if (now.image !== made.image) throw unusable('the image has changed');
  if (now.secrets !== made.secrets) throw unusable('an env file has changed');
  if (now.vars !== made.vars) throw unusable('a variable has changed');
}

async function mountAnswers(mount: MountSpec, pid: number, { clock, signal, vars, ...context }: StageContext): Promise<void> {
  const probes = context.mountProbes ?? new MountProbes({ clock });
  const timeoutMs = Math.min(mountTimeoutMs, mount.check.timeoutMs);
  const { condition, message } = await probes.probe({ containerPid: pid, target: mount.target, timeoutMs, signal });
  if (condition !== 'ok') throw unusable(`mount ${mount.name}: ${message}`);
  const present = fuseOnTop(readMountinfo('/proc', pid) ?? [], mount.target);
  if (present === null || !isWanted(present, mount, vars)) throw unusable(`mount ${mount.name}: it is not the one that is wanted`);
}

/** What the host has mounted again since is dead in this one, too. */
async function volumesAnswer(containerPid: number, { clock, signal, mountProbes, spec }: StageContext): Promise<void> {
  const probe = spec.live.map((check) => check.probe).find(({ kind }) => kind === 'volumes');
  if (probe?.kind !== 'volumes') return;
  const context = { containerPid, clock, signal, timeoutMs: mountTimeoutMs, ...(mountProbes === undefined ? {} : { mounts: mountProbes }) };
  const { message, code, reportOnly } = await lookAtVolumes(probe, context);
  // Where the host has nothing better, a new container could not even be made.
  if (code !== undefined && reportOnly !== true) throw unusable(`volume ${message}`);
}

async function stepHolds({ name, verify }: SetupStep, id: string, { engine, spec, vars, signal }: StageContext): Promise<void> {
  if (verify === null) return;
  const argv = commandArgv(verify satisfies Command, spec.shell);
  const { exitCode } = await engine.exec(id, { argv, env: vars }, { signal, timeoutMs: verifyTimeoutMs });
  if (exitCode !== 0) throw unusable(`setup "${name}": verify says exit code ${exitCode}`);
}

/** What took the GPUs from one container (`systemctl daemon-reload`) took them from all that ran then. Opening the device tells. */
async function hasGpus(id: string, { engine, spec, signal }: StageContext): Promise<void> {
  if (spec.container.gpus === undefined) return;
  const argv = ['sh', '-c', 'test ! -e /dev/nvidiactl || : < /dev/nvidiactl'];
  const { exitCode } = await engine.exec(id, { argv }, { signal, timeoutMs: verifyTimeoutMs });
  if (exitCode !== 0) throw unusable('it has lost its GPUs');
}

const unusable = (why: string): RelightError => new RelightError('spare-unusable', `the prepared spare cannot take over: ${why}`);
