/** GPUs and TPUs that the configuration asks for: there, well, and within reach of a container. */
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { systemClock } from '@relight/shared/clock';
import type { AgentSpec, ContainerSpec, WorkloadSpec } from '../../config/spec.ts';
import type { Engine } from '../../engine/engine.ts';
import { holdersOf } from '../../host/accelerators/device-holders.ts';
import { gpuHealth } from '../../host/accelerators/gpu-health.ts';
import type { GpuLook } from '../../host/accelerators/gpu-look.ts';
import { Smi } from '../../host/accelerators/smi.ts';
import { listTpus, type TpuDevice } from '../../host/accelerators/tpu-devices.ts';
import { usesGpus, usesTpus } from '../../host/accelerators/wants.ts';
import { error, ok, warning, type Finding } from '@relight/shared/finding';

const callMs = 10_000;
/** Any of them is what the engine calls for `gpus`. */
const hooks = ['nvidia-container-runtime-hook', 'nvidia-container-toolkit', 'nvidia-container-cli'];

export interface AcceleratorContext {
  readonly engine: Pick<Engine, 'info'>;
  readonly path: string;
  /** Workloads whose container runs already: what holds a TPU may be theirs. */
  readonly running: ReadonlySet<string>;
}

export async function checkAccelerators(spec: AgentSpec, context: AcceleratorContext): Promise<readonly Finding[]> {
  const gpuWorkloads = spec.workloads.filter(({ container }) => usesGpus(container));
  const expected = spec.host.accelerators.gpus;
  const tpus = listTpus();
  const tpuWorkloads = tpus.length === 0 ? [] : spec.workloads.filter(({ container }) => usesTpus(container));
  return [
    ...(gpuWorkloads.length > 0 || (expected ?? 0) > 0 ? await checkGpus(gpuWorkloads, expected, context.path) : []),
    ...(await checkToolkit(gpuWorkloads, context)),
    ...(await Promise.all(tpuWorkloads.map((workload) => checkTpus(workload, tpus, context.running)))).flat(),
  ];
}

async function checkGpus(workloads: readonly WorkloadSpec[], expected: number | null, path: string): Promise<readonly Finding[]> {
  const look = await new Smi({ clock: systemClock, path }).look();
  if (look === null) {
    return [
      error('this host has no nvidia-smi, so no GPU can be used or watched', 'Install the NVIDIA driver with its tools, or remove gpus.'),
    ];
  }
  return gpuFindings(look, workloads, expected);
}

/** Pure. */
export function gpuFindings(
  look: GpuLook,
  workloads: readonly Pick<WorkloadSpec, 'name' | 'container'>[],
  expected: number | null,
): readonly Finding[] {
  const { conditions } = gpuHealth(look, { expected, known: [], throttled: new Map(), xids: [], needed: true });
  const found = conditions.map(({ severity, reason, advice }) =>
    severity === 'warning' ? warning(reason, advice) : error(reason, advice),
  );
  if (look.kind !== 'report') return found;
  const { gpus, driverVersion } = look.report;
  const asked = workloads.flatMap(({ name, container }) => {
    const missing = missingGpus(
      container.gpus,
      gpus.map(({ uuid }) => uuid),
    );
    return missing === null
      ? []
      : [error(`${name}: gpus asks for ${missing}; this host has ${gpus.length}`, 'Correct gpus, or look for the missing GPU.')];
  });
  return [ok(`${gpus.length} GPUs answer, driver ${driverVersion}`), ...found, ...asked];
}

/** Ids are numbers or uuids, which may be cut short; those of MIG instances are not in the list of cards. */
function missingGpus(asked: ContainerSpec['gpus'], uuids: readonly string[]): string | null {
  if (asked === undefined || asked === 'all') return asked === 'all' && uuids.length === 0 ? 'all' : null;
  if (typeof asked === 'number') return asked > uuids.length ? String(asked) : null;
  const unknown = asked.filter(
    (id) => !id.startsWith('MIG-') && !(/^\d+$/.test(id) ? Number(id) < uuids.length : uuids.some((uuid) => uuid.startsWith(id))),
  );
  return unknown.length === 0 ? null : unknown.join(', ');
}

async function checkToolkit(workloads: readonly WorkloadSpec[], { engine, path }: AcceleratorContext): Promise<readonly Finding[]> {
  const asking = workloads.filter(({ container }) => container.gpus !== undefined);
  if (asking.length === 0) return [];
  // An engine that does not answer is a finding of its own.
  const runtimes = await engine.info({ timeoutMs: callMs }).then(
    (info) => info.runtimes,
    () => null,
  );
  if (runtimes === null) return [];
  const candidates = path.split(delimiter).flatMap((directory) => hooks.map((hook) => join(directory, hook)));
  const found = await Promise.all(
    candidates.map((file) =>
      access(file, constants.X_OK)
        .then(() => true)
        .catch(() => false),
    ),
  );
  if (runtimes.includes('nvidia') || found.includes(true)) return [ok('the engine can give GPUs to containers')];
  return [
    error(
      'the engine cannot give GPUs to containers: neither its runtime "nvidia" nor the hook of the NVIDIA Container Toolkit is here',
      'Install nvidia-container-toolkit, then: nvidia-ctk runtime configure --runtime=docker, and restart the engine.',
    ),
  ];
}

async function checkTpus(
  { name, container }: WorkloadSpec,
  tpus: readonly TpuDevice[],
  running: ReadonlySet<string>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const closed = await closedToUsers(tpus);
  const asRoot = container.user === undefined || /^(?:root|0)(?::|$)/.test(container.user);
  if (!asRoot && closed.length > 0 && container.groupAdd.length === 0) {
    findings.push(
      warning(
        `${name}: ${closed.join(', ')} cannot be opened by the user ${container.user}`,
        `chmod 666 ${closed.join(' ')} under host.setup, or add its group to group_add.`,
      ),
    );
  }
  const locked = container.ulimits['memlock'];
  if (!container.privileged && tpus.some(({ path }) => path.startsWith('/dev/vfio')) && locked?.hard !== -1) {
    findings.push(warning(`${name}: a TPU behind VFIO locks memory, and the container may not`, 'Add ulimits: {memlock: -1}.'));
  }
  if (!running.has(name)) {
    const holders = await holdersOf(new Set(tpus.map(({ path }) => path)), systemClock);
    const names = holders.map((holder) => `${holder.name} (pid ${holder.pid})`);
    if (names.length > 0)
      findings.push(warning(`${name}: the TPU is held by ${names.join(', ')}`, 'Stop it before the workload is started.'));
  }
  return [ok(`${name}: ${tpus.length} TPU devices, ${tpus[0]?.model ?? ''}`), ...findings];
}

async function closedToUsers(tpus: readonly TpuDevice[]): Promise<readonly string[]> {
  const modes = await Promise.all(
    tpus.map(({ path }) =>
      stat(path)
        .then(({ mode }) => ({ path, mode }))
        .catch(() => null),
    ),
  );
  return modes.flatMap((found) => (found !== null && (found.mode & 0o006) !== 0o006 ? [found.path] : []));
}
