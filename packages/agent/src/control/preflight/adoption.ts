/** Can the container of `container: {adopt: NAME}` be taken over? And who else makes containers here by itself? */
import type { WorkloadSpec } from '../../config/spec.ts';
import { adoptionRefusal, type AdoptedDocument } from '../../engine/adoption.ts';
import { readAdoption } from '../../engine/adoptions.ts';
import { isUpdater, ownerFromLabels, ownerFromName, ownerFromProcesses, type ContainerOwner } from '../../engine/container-owner.ts';
import { managedLabels } from '../../engine/create-options.ts';
import type { Engine } from '../../engine/engine.ts';
import { hostCommands } from '../../host/commands.ts';
import { error, ok, warning, type Finding } from '@relight/shared/finding';

const callMs = 10_000;

export async function checkAdoption(
  { name: workload, container }: WorkloadSpec,
  stateDir: string,
  engine: Engine,
): Promise<readonly Finding[]> {
  const name = container.adopt ?? '';
  const remembered = readAdoption(stateDir, workload, name) !== null;
  const document = (await engine.inspectRaw(name, { timeoutMs: callMs })) as unknown as AdoptedDocument | null;
  if (document === null) {
    if (remembered) return [ok(`${workload}: the container ${name} is gone and remembered: it will be made again`)];
    return [
      error(`${workload}: there is no container ${name} to adopt`, `Start it once, or correct adopt; docker ps --all shows what there is.`),
    ];
  }
  const labels = document.Config.Labels ?? {};
  if (labels[managedLabels.agent] !== undefined) return [ok(`${workload}: the container ${name} is Relight's already`)];
  const refusal = adoptionRefusal(document);
  if (refusal !== null) return [error(`${workload}: ${refusal.why}`, refusal.advice)];
  const policy = document.HostConfig.RestartPolicy?.Name ?? '';
  const owner = await ownerOf(name, labels);
  return [
    ok(`${workload}: the container ${name} will be taken over as it runs`),
    ...(policy === '' || policy === 'no'
      ? []
      : [
          warning(
            `${workload}: the restart policy ${policy} of ${name} will become no`,
            'Nothing: Relight is the only restarter from then on.',
          ),
        ]),
    ...(owner === null ? [] : [warning(`${workload}: ${name} was made by ${owner.who}, which may replace it`, owner.advice)]),
  ];
}

export async function ownerOf(name: string, labels: Readonly<Record<string, string>>): Promise<ContainerOwner | null> {
  return ownerFromLabels(labels) ?? ownerFromProcesses(name, await hostCommands().catch(() => [])) ?? ownerFromName(name);
}

/** Watchtower and its like stop containers and make them anew whenever their image changes. */
export async function checkUpdaters(engine: Engine): Promise<readonly Finding[]> {
  const ids = await engine.list({}, { timeoutMs: callMs });
  const facts = await Promise.all(ids.slice(0, 500).map((id) => engine.inspect(id, { timeoutMs: callMs })));
  return facts
    .filter((container) => container !== null)
    .filter(({ status, image, labels }) => status === 'running' && isUpdater(image, labels))
    .map(({ name, image }) =>
      warning(
        `the container ${name} (${image}) replaces other containers by itself when their images change`,
        `Keep it from Relight's: docker rm -f ${name}, or the label com.centurylinklabs.watchtower.enable=false under labels.`,
      ),
    );
}
