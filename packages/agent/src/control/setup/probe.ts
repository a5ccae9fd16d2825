/** Looks at this host for `setup`: engine, containers, accelerators, cluster files. Changes nothing. */
import { existsSync } from 'node:fs';
import { RelightError } from '@relight/shared/errors';
import { systemClock } from '@relight/shared/clock';
import { importContainer } from '../../config/import/container.ts';
import type { InspectDocument } from '../../config/import/inspect.ts';
import { parseConfig } from '../../config/load.ts';
import { adoptionRefusal, type AdoptedDocument } from '../../engine/adoption.ts';
import { isUpdater, ownerFromLabels, ownerFromName, ownerFromProcesses, type HostCommand } from '../../engine/container-owner.ts';
import { managedLabels } from '../../engine/create-options.ts';
import type { Engine } from '../../engine/engine.ts';
import { Smi } from '../../host/accelerators/smi.ts';
import { listTpus } from '../../host/accelerators/tpu-devices.ts';
import { usesGpus, usesTpus } from '../../host/accelerators/wants.ts';
import { hostCommands } from '../../host/commands.ts';
import { counted, unusable, type FoundContainer, type ImportedText, type SetupFacts, type Unusable } from './facts.ts';

const callMs = 10_000;
/** A host of ours has a handful. */
const containersMax = 200;
/** Each costs a deadline: an engine that fails more often does not answer. */
const unreadMax = 3;

export interface Accelerators {
  readonly accelerators: readonly string[];
  readonly gpus: number | null;
}

/** nvidia-smi has a deadline of its own. */
export async function seenAccelerators(path: string): Promise<Accelerators> {
  const look = await new Smi({ clock: systemClock, path }).look();
  const cards = look?.kind === 'report' ? look.report.gpus.map(({ model }) => model) : null;
  return { accelerators: [...counted(cards ?? []), ...counted(listTpus().map(({ model }) => model))], gpus: cards?.length ?? null };
}

/** What the engine says, and all its containers. An engine that does not answer has none. */
export async function seenContainers(engine: Engine, socket: string): Promise<Pick<SetupFacts, 'engine' | 'containers' | 'unread'>> {
  try {
    const { version } = await engine.info({ timeoutMs: callMs });
    const ids = (await engine.list({}, { timeoutMs: callMs })).slice(0, containersMax);
    const processes = await hostCommands().catch(() => []);
    const containers: FoundContainer[] = [];
    const unread: Unusable[] = [];
    for (const id of ids) {
      try {
        const raw = await engine.inspectRaw(id, { timeoutMs: callMs });
        if (raw !== null) containers.push(await seen(raw, engine, processes));
      } catch (thrown) {
        const { problem, advice } = unusable(thrown);
        unread.push({ problem: `the container ${id.slice(0, 12)}: ${problem}`, advice });
        if (unread.length > unreadMax) throw thrown;
      }
    }
    return { engine: { version }, containers: containers.toSorted((a, b) => (a.name < b.name ? -1 : 1)), unread };
  } catch (thrown) {
    if (!(thrown instanceof RelightError)) throw thrown;
    return {
      engine: existsSync(socket) ? { problem: thrown.message, advice: thrown.advice } : noEngine(socket),
      containers: [],
      unread: [],
    };
  }
}

const noEngine = (socket: string): Unusable => ({
  problem: `there is no Docker Engine at ${socket}`,
  advice: 'Install one (apt-get install docker.io, or docs.docker.com/engine/install), or name its socket with --socket.',
});

async function seen(raw: Record<string, unknown>, engine: Engine, processes: readonly HostCommand[]): Promise<FoundContainer> {
  const document = raw as unknown as AdoptedDocument & { readonly State?: { readonly Running?: boolean } };
  const name = document.Name.replace(/^\//, '');
  const labels = document.Config.Labels ?? {};
  const image = document.Config.Image ?? document.Image ?? '';
  const refusal = adoptionRefusal(document);
  // Compose replaces a container only when somebody tells it to.
  const byLabel = labels['com.docker.compose.project'] === undefined ? ownerFromLabels(labels) : null;
  return {
    name,
    image,
    running: document.State?.Running === true,
    usesAccelerators: usesAccelerators(raw),
    isOurs: labels[managedLabels.agent] !== undefined,
    madeFor: labels[managedLabels.agent] === undefined ? null : (labels[managedLabels.workload] ?? null),
    refusal,
    keeper: (byLabel ?? ownerFromProcesses(name, processes) ?? ownerFromName(name))?.who ?? null,
    isUpdater: isUpdater(image, labels),
    imported: refusal !== null && document.HostConfig.AutoRemove === true ? await described(raw, engine) : null,
  };
}

/** By the same rule as for what the configuration describes. */
function usesAccelerators(raw: Record<string, unknown>): boolean {
  const { HostConfig: host = {} } = raw as InspectDocument;
  const gpus = (host.DeviceRequests ?? []).some(({ Capabilities }) => Capabilities?.flat().includes('gpu'));
  const devices = (host.Devices ?? []).map(({ PathOnHost, PathInContainer, CgroupPermissions }) => ({
    source: PathOnHost,
    target: PathInContainer,
    permissions: CgroupPermissions,
  }));
  const container = { runtime: host.Runtime ?? '', devices, volumes: [], privileged: host.Privileged === true };
  return gpus || usesGpus(container) || (listTpus().length > 0 && usesTpus(container));
}

async function described(raw: Record<string, unknown>, engine: Engine): Promise<ImportedText | Unusable> {
  const imageId = raw['Image'];
  const image = typeof imageId === 'string' ? await engine.inspectImage?.(imageId, { timeoutMs: callMs }).catch(() => null) : null;
  const { yaml, notCarriedOver } = importContainer(raw, image ?? null);
  return readBack({ yaml, notes: notCarriedOver.map((line) => `not carried over: ${line}`) });
}

/** Docker and Ray take a few things that Relight refuses. */
export function readBack(imported: ImportedText): ImportedText | Unusable {
  try {
    parseConfig(imported.yaml, '/imported', { hostname: 'localhost' });
    return imported;
  } catch (thrown) {
    const { problem } = unusable(thrown);
    return {
      problem: `what comes of it needs a correction by hand: ${problem.replaceAll('/imported:', 'line ')}`,
      advice: 'Write it with relight-agent import …, correct it, and put it in the place of the configuration.',
    };
  }
}
