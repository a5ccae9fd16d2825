/** Makes the container of a generation, or takes over the one that a crash between create and record has left. */
import { delay } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { compareFingerprints, specFingerprint } from '../config/impact.ts';
import { readEnvFiles } from '../config/secrets.ts';
import { adoptedCreateOptions } from '../engine/adoption.ts';
import { labelsOfAdopted, readAdoption } from '../engine/adoptions.ts';
import { ownerFromLabels, ownerFromName, ownerFromProcesses, type ContainerOwner } from '../engine/container-owner.ts';
import { createOptions, managedLabels, type CreateOptions } from '../engine/create-options.ts';
import type { ContainerFacts } from '../engine/engine.ts';
import { hostCommands } from '../host/commands.ts';
import { describeHolder } from '../supervisor/holder.ts';
import type { Op, OpValue } from '../supervisor/op.ts';
import { onDisk } from './disk-trouble.ts';
import { makeRunDirectory, runRootOf } from './run-files.ts';
import { runDirectoryTarget } from './runs.ts';
import type { StageContext } from './stage.ts';

type CreateOp = Extract<Op, { kind: 'create' }>;
type CreateValue = Extract<OpValue, { kind: 'create' }>;

/** The engine gives a name away before it shows the container, and takes it back after that is gone: a moment, longer on a busy host. */
const unseenHolderMsMax = 10_000;
const lookAgainMs = { min: 20, max: 500 } as const;

export async function create({ generation }: CreateOp, context: StageContext): Promise<CreateValue> {
  const { engine, spec, clock, signal } = context;
  const { name } = spec.container;
  const body = await bodyOf(generation, context);
  const until = clock.monotonic() + unseenHolderMsMax;
  for (let pauseMs = 0; ; pauseMs = Math.min(Math.max(lookAgainMs.min, 2 * pauseMs), lookAgainMs.max)) {
    try {
      const { id, warnings } = await engine.create(name, body, { signal });
      return { kind: 'create', containerId: id, warnings };
    } catch (thrown) {
      if (!(thrown instanceof RelightError)) throw thrown;
      if (thrown.code === 'image-not-found') throw imageMissing(thrown, context);
      if (thrown.code !== 'name-conflict') throw thrown;
      const containerId = await takeOver(generation, context);
      if (containerId !== null) return { kind: 'create', containerId, warnings: [] };
      if (clock.monotonic() >= until) throw heldByNobody(thrown, name);
    }
    await delay(clock, pauseMs, signal);
  }
}

async function bodyOf(generation: number, { spec, agent, ownerId, whyNotAdopted }: StageContext): Promise<CreateOptions> {
  const { adopt } = spec.container;
  const adoption = adopt === undefined ? null : readAdoption(agent.stateDir, spec.name, adopt);
  if (adopt !== undefined && adoption === null) {
    throw whyNotAdopted?.() ?? new RelightError('cannot-adopt', `no container named "${adopt}" was adopted yet`);
  }
  const fingerprint = specFingerprint(spec);
  const runDirectory = onDisk(() => makeRunDirectory(runRootOf(agent.stateDir), spec.name, generation));
  if (adoption !== null) {
    const labels = {
      ...labelsOfAdopted({ ...adoption, generation }, ownerId),
      [managedLabels.spec]: JSON.stringify(fingerprint),
    };
    return adoptedCreateOptions({ document: adoption.document, labels, runDirectory, runDirectoryTarget });
  }
  const secrets = await readEnvFiles(spec.container.envFile);
  return createOptions({ spec: spec.container, workload: spec.name, generation, ownerId, fingerprint, runDirectory, secrets });
}

/** Null: nobody is seen to hold the name. It is free, or will be, or whoever has just got it will be seen in a moment. */
async function takeOver(generation: number, context: StageContext): Promise<string | null> {
  const { engine, spec, ownerId, signal } = context;
  const { name } = spec.container;
  const holder = await engine.inspect(name, { signal });
  if (holder === null) return null;
  const own = holder.labels[managedLabels.agent] === ownerId && holder.labels[managedLabels.workload] === spec.name;
  const beingRemoved = holder.status === 'removing' || holder.status === 'dead';
  // Older engines join further networks one by one after the create: a crash may have left it with too few.
  const halfMade = holder.status === 'created' && spec.container.networks.length > 1;
  if (own && (beingRemoved || halfMade || isOutdated(holder, context))) {
    // Waits for the end of a removal that somebody else has begun.
    await engine.remove(holder.id, { signal });
    return null;
  }
  if (own && holder.labels[managedLabels.generation] === String(generation)) return holder.id;
  const owner = own ? null : await findOwner(name, holder.labels);
  const madeBy = owner === null ? '' : `, made by ${owner.who}`;
  throw new RelightError('name-conflict', `the name "${name}" is held by ${describeHolder(holder, ownerId)}${madeBy}`, {
    // One of our own is about to be set aside; a foreign one stays until a person acts.
    recoverable: own,
    data: { holderId: holder.id, ...(owner === null ? {} : { owner: owner.who }) },
    ...(owner === null ? {} : { advice: owner.advice }),
  });
}

/**
 * Made from an earlier configuration, by a call that was given up because of the present one, and that the engine has finished all the
 * same: it has the generation that is wanted, and nothing else would tell. Nothing of it has ever run.
 */
function isOutdated({ status, labels }: ContainerFacts, { spec }: StageContext): boolean {
  const label = labels[managedLabels.spec];
  if (status !== 'created' || label === undefined) return false;
  const changes = compareFingerprints(JSON.parse(label) as Record<string, string>, specFingerprint(spec));
  return changes.some(({ impact }) => impact === 'container');
}

/** Whoever makes it again and again: its labels tell, or a client that waits for it. */
async function findOwner(name: string, labels: Readonly<Record<string, string>>): Promise<ContainerOwner | null> {
  return ownerFromLabels(labels) ?? ownerFromProcesses(name, await hostCommands().catch(() => [])) ?? ownerFromName(name);
}

/** Tried again: what cannot be seen cannot be removed by a person either. */
function heldByNobody(error: RelightError, name: string): RelightError {
  const message = `the engine says that the name "${name}" is in use, and shows no container that has it`;
  const advice =
    'Look for a docker create, run or rm of that name that does not end. An engine that has lost a container keeps its name until it is restarted.';
  return new RelightError('name-conflict', message, { cause: error, recoverable: true, advice, data: error.data });
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
