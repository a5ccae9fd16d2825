/** Makes the container of a generation, or takes over the one that a crash between create and record has left. */
import { createHash } from 'node:crypto';
import { RelightError } from '@relight/shared/errors';
import { specFingerprint } from '../config/impact.ts';
import { readEnvFiles } from '../config/secrets.ts';
import { createOptions, managedLabels } from '../engine/create-options.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import type { Op, OpValue } from '../supervisor/op.ts';
import { makeRunDirectory, runRootOf } from './run-files.ts';
import type { StageContext } from './stage.ts';

type CreateOp = Extract<Op, { kind: 'create' }>;
type CreateValue = Extract<OpValue, { kind: 'create' }>;

export async function create({ generation }: CreateOp, context: StageContext): Promise<CreateValue> {
  const { engine, spec, agent, ownerId, signal } = context;
  const body = createOptions({
    spec: spec.container,
    workload: spec.name,
    generation,
    ownerId,
    fingerprint: specFingerprint(spec, (text) => createHash('sha256').update(text).digest('hex')),
    runDirectory: makeRunDirectory(runRootOf(agent.stateDir), spec.name, generation),
    secrets: await readEnvFiles(spec.container.envFile),
  });
  try {
    const { id, warnings } = await engine.create(spec.container.name, body, { signal });
    return { kind: 'create', containerId: id, warnings };
  } catch (thrown) {
    if (!(thrown instanceof RelightError)) throw thrown;
    if (thrown.code === 'name-conflict') return { kind: 'create', containerId: await takeOver(generation, context), warnings: [] };
    if (thrown.code === 'image-not-found') throw imageMissing(thrown, context);
    throw thrown;
  }
}

async function takeOver(generation: number, context: StageContext): Promise<string> {
  const { engine, spec, ownerId, signal } = context;
  const { name } = spec.container;
  const holder = await engine.inspect(name, { signal });
  // It went between the two calls; trying again is right.
  if (holder === null) throw new RelightError('name-conflict', `the name "${name}" was taken for a moment`, { recoverable: true });
  const own = holder.labels[managedLabels.agent] === ownerId && holder.labels[managedLabels.workload] === spec.name;
  if (own && holder.status === 'created' && spec.container.networks.length > 1) {
    // Older engines join further networks one by one after the create: a crash may have left it with too few.
    await engine.remove(holder.id, { signal });
    throw new RelightError('name-conflict', `a half-made container "${name}" was removed`, { recoverable: true });
  }
  if (own && holder.labels[managedLabels.generation] === String(generation) && holder.status !== 'removing' && holder.status !== 'dead') {
    return holder.id;
  }
  throw new RelightError('name-conflict', `the name "${name}" is held by ${describeHolder(holder, ownerId)}`, {
    // One of our own is about to be set aside; a foreign one stays until a person acts.
    recoverable: own,
    data: { holderId: holder.id },
  });
}

/** Pure: whose container it is, for a person. */
export function describeHolder(holder: ContainerFacts, ownerId: string): string {
  const short = holder.id.slice(0, 12);
  const owner = holder.labels[managedLabels.agent];
  const workload = holder.labels[managedLabels.workload];
  if (owner === undefined) return `a container that Relight does not manage (${short}, image ${holder.image}, ${holder.status})`;
  if (owner !== ownerId) return `another Relight agent (${owner}, workload ${workload}, container ${short})`;
  return `generation ${holder.labels[managedLabels.generation]} of workload ${workload} of this agent (${short}, ${holder.status})`;
}

function imageMissing(error: RelightError, { spec }: StageContext): RelightError {
  const { image, pullPolicy } = spec.container;
  if (pullPolicy !== 'never')
    return new RelightError('image-not-found', error.message, { cause: error, data: { ...error.data, pull: true } });
  return new RelightError('image-not-found', `${image} is not on this host and pull_policy is never`, {
    cause: error,
    advice: 'Load the image on this host (docker load, docker pull), or set pull_policy: missing.',
  });
}
