/** What only the engine can tell: its version, images, runtimes, and who holds the names. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage, RelightError } from '@relight/shared/errors';
import type { AgentSpec, WorkloadSpec } from '../../config/spec.ts';
import { managedLabels } from '../../engine/create-options.ts';
import type { ContainerFacts, Engine, EngineInfo } from '../../engine/engine.ts';
import { checkAdoption, checkUpdaters, ownerOf } from './adoption.ts';
import { checkRoom } from './disk.ts';
import { error, ok, warning, type Finding } from '@relight/shared/finding';
import { checkJournal } from './journal.ts';
import { checkRegistry } from './registry.ts';

const callMs = 10_000;

export interface EngineFindings {
  readonly findings: readonly Finding[];
  readonly answers: boolean;
  /** Workloads whose container runs already: what they hold is not taken by others. */
  readonly running: ReadonlySet<string>;
}

export async function checkEngine(spec: AgentSpec, stateDir: string, engine: Engine, env: NodeJS.ProcessEnv): Promise<EngineFindings> {
  let info: EngineInfo;
  try {
    info = await engine.info({ timeoutMs: callMs });
  } catch (thrown) {
    const advice = thrown instanceof RelightError ? thrown.advice : 'systemctl status docker';
    return {
      findings: [error(`the engine at ${spec.engine.socket}: ${errorMessage(thrown)}`, advice)],
      answers: false,
      running: new Set(),
    };
  }
  const findings = [...versionOf(info), ...settings(spec, info), ...(await room(info))];
  const running = new Set<string>();
  const ownId = await ownAgentId(stateDir);
  for (const workload of spec.workloads) {
    try {
      if (workload.container.adopt !== undefined) {
        findings.push(...(await checkAdoption(workload, stateDir, engine)));
        running.add(workload.name);
        continue;
      }
      const holder = await engine.inspect(workload.container.name, { timeoutMs: callMs });
      const runs = holder?.status === 'running' && holder.labels[managedLabels.workload] === workload.name ? holder : null;
      findings.push(
        ...checkName(workload),
        ...(await checkImage(workload, runs, engine, env)),
        ...checkRuntime(workload, info),
        ...checkLogging(workload),
      );
      findings.push(...(await checkHolder(workload, holder, ownId)));
      if (holder?.status === 'running') running.add(workload.name);
    } catch (thrown) {
      findings.push(
        error(`${workload.name}: the engine did not answer: ${errorMessage(thrown)}`, 'Look at the engine: systemctl status docker.'),
      );
    }
  }
  findings.push(...(await checkUpdaters(engine).catch(() => [])));
  return { findings, answers: true, running };
}

/** Settings of the engine that make recoveries slow, or take devices away. */
function settings(spec: AgentSpec, { storageDriver, cgroupDriver }: EngineInfo): readonly Finding[] {
  const gpus = spec.workloads.filter(({ container }) => container.gpus !== undefined || container.runtime === 'nvidia');
  return [
    ...(storageDriver === 'vfs'
      ? [
          warning(
            'the engine stores containers with vfs, which copies the whole image for each of them',
            'Use overlay2: "storage-driver" in /etc/docker/daemon.json.',
          ),
        ]
      : []),
    ...(cgroupDriver === 'systemd' && gpus.length > 0
      ? [
          warning(
            `a systemctl daemon-reload can take the GPUs from ${gpus.map(({ name }) => name).join(', ')} (cgroup driver systemd)`,
            'nvidia-ctk system create-dev-char-symlinks --create-all, or "exec-opts": ["native.cgroupdriver=cgroupfs"]. Relight recreates a container that lost its GPU.',
          ),
        ]
      : []),
  ];
}

/** The engine may be on another file system namespace (a remote socket, a snap): then its directory is not ours to see. */
async function room({ rootDirectory }: EngineInfo): Promise<readonly Finding[]> {
  try {
    return [await checkRoom(`the engine keeps images and containers in ${rootDirectory}`, rootDirectory)];
  } catch {
    return [];
  }
}

/** Floor of the API: Docker 20.10. */
const apiMin = [1, 41] as const;

function versionOf({ version, apiVersion, liveRestore }: EngineInfo): readonly Finding[] {
  const [major = 0, minor = 0] = apiVersion.split('.').map(Number);
  if (major < apiMin[0] || (major === apiMin[0] && minor < apiMin[1])) {
    return [
      error(
        `the engine ${version} speaks API ${apiVersion}; at least ${apiMin.join('.')} is needed`,
        'Install Docker Engine 20.10 or newer.',
      ),
    ];
  }
  const restore = liveRestore
    ? []
    : [
        warning(
          'the engine has no live-restore: restarting it kills every container',
          'Set "live-restore": true in /etc/docker/daemon.json.',
        ),
      ];
  return [ok(`the engine ${version} (API ${apiVersion}) answers`), ...restore];
}

/** @param runs the workload's container, where it runs */
async function checkImage(
  workload: WorkloadSpec,
  runs: ContainerFacts | null,
  engine: Engine,
  env: NodeJS.ProcessEnv,
): Promise<readonly Finding[]> {
  const { name, container } = workload;
  const { image, pullPolicy } = container;
  const here = await engine.hasImage(image, { timeoutMs: callMs });
  if (here)
    return [ok(`${name}: the image ${image} is here`), ...(pullPolicy === 'always' ? await checkRegistry(workload, here, env) : [])];
  if (pullPolicy === 'never') {
    return [
      error(
        `${name}: the image ${image} is not here, and pull_policy is never`,
        'docker pull or docker load it, or set pull_policy: missing.',
      ),
    ];
  }
  const registry = await checkRegistry(workload, here, env);
  if (runs === null || runs.image === image) return [ok(`${name}: the image ${image} will be pulled`), ...registry];
  return [
    ok(`${name}: the image ${image} will be pulled; until then its container that runs (${runs.image}) goes on as it is`),
    ...registry,
  ];
}

/** The one rule of the engine for names that the configuration does not have: a workload may be called `w`, a container not. */
function checkName({ name, container }: WorkloadSpec): readonly Finding[] {
  if (container.name.length > 1) return [];
  return [error(`${name}: the engine takes no container name of one character ("${container.name}")`, 'Give container.name.')];
}

function checkRuntime({ name, container: { runtime } }: WorkloadSpec, { runtimes }: EngineInfo): readonly Finding[] {
  if (runtime === undefined || runtimes.includes(runtime)) return [];
  return [
    error(`${name}: the engine has no runtime ${runtime}; it has ${runtimes.join(', ')}`, 'Install the runtime, or correct runtime.'),
  ];
}

function checkLogging({ name, container: { logging } }: WorkloadSpec): readonly Finding[] {
  if (logging === null) return [];
  if (logging.driver === 'journald') return checkJournal(name);
  if (logging.driver !== 'json-file') return checkCopy(name, logging);
  if (logging.options['max-size'] !== undefined) return [];
  return [warning(`${name}: the container's log grows without limit`, 'Add options: {max-size: 64m, max-file: "3"}, or remove logging.')];
}

/** What goes to another driver is read from the copy that the engine keeps of it (since Engine 20.10), where there is one. */
function checkCopy(name: string, { driver, options }: NonNullable<WorkloadSpec['container']['logging']>): readonly Finding[] {
  if (driver !== 'none' && options['cache-disabled'] !== 'true') return [];
  const where =
    driver === 'none'
      ? 'goes nowhere (log driver none)'
      : `goes to the log driver ${driver} alone (cache-disabled: true), where Relight cannot read it`;
  return [
    warning(
      `${name}: the container's own output ${where}`,
      'Remove logging, or use json-file or local; the output of process and setup is kept in any case.',
    ),
  ];
}

async function checkHolder(
  { name, container }: WorkloadSpec,
  holder: ContainerFacts | null,
  ownId: string | null,
): Promise<readonly Finding[]> {
  if (holder === null) return [];
  const agent = holder.labels[managedLabels.agent];
  const workload = holder.labels[managedLabels.workload];
  const title = `${name}: the name ${container.name} is held by`;
  if (agent === undefined) {
    const owner = await ownerOf(container.name, holder.labels);
    const fix =
      owner?.advice ??
      `Take it over, unless it was started with --rm: container: {adopt: ${container.name}}; or docker rm -f ${container.name} (its settings: relight-agent import container ${container.name}); or choose another name.`;
    const madeBy = owner === null ? '' : `, made by ${owner.who}`;
    return [error(`${title} a container that is not Relight's (${holder.image}, ${holder.status})${madeBy}`, fix)];
  }
  if (ownId !== null && agent !== ownId)
    return [error(`${title} another agent, ${agent}`, 'Stop that agent and remove its container, or choose another name.')];
  if (workload !== name) return [error(`${title} the workload ${workload ?? ''}`, 'Give each workload a container name of its own.')];
  return [ok(`${name}: its container is here (${holder.status}) and will be adopted`)];
}

/** Null before the agent's first start. Creating an identity is the service's business, not a preflight's. */
async function ownAgentId(stateDir: string): Promise<string | null> {
  try {
    const { agentId } = JSON.parse(await readFile(join(stateDir, 'identity.json'), 'utf8')) as { readonly agentId?: string };
    return agentId ?? null;
  } catch {
    return null;
  }
}
