/** `relight-agent check`: everything the configuration needs of this host, before anything is touched. */
import type { Preflight } from '@relight/shared/preflight';
import { loadConfig } from '../config/load.ts';
import type { AgentSpec } from '../config/spec.ts';
import { DockerEngine } from '../engine/docker-engine.ts';
import type { Engine } from '../engine/engine.ts';
import { readBootId } from '../host/boot-id.ts';
import { identityOf } from '../host/identity.ts';
import { readMachineId } from '../host/machine-id.ts';
import { withJoined } from '../uplink/joined.ts';
import { hostDefaults } from './host-defaults.ts';
import { chosenStateDir, type ExitCode, type Io } from './io.ts';
import { checkAccelerators } from './preflight/accelerators.ts';
import { suspiciousCommands, suspiciousHostCommands } from './preflight/commands.ts';
import { checkDependencies } from './preflight/dependencies.ts';
import { checkEngine } from './preflight/engine.ts';
import { checkConfigFile, checkCredentials, checkHostPaths, checkHostPrograms, checkStateDir } from './preflight/files.ts';
import { findingsText, hasError, ok, type Finding } from '@relight/shared/finding';
import { checkGate } from './preflight/gate.ts';
import { checkMachine, thisHost, type PreflightHost } from './preflight/machine.ts';
import { checkBuckets } from './preflight/mounts.ts';
import { checkCollector, checkPorts } from './preflight/network.ts';

export interface CheckOptions {
  readonly config: string;
  readonly json?: boolean;
}

/** 1 when a finding is an error. Fails with config-invalid or config-unreadable. */
export async function checkCommand(
  options: CheckOptions,
  io: Io,
  openEngine: (socketPath: string) => Engine = (socketPath) => new DockerEngine({ socketPath }),
  host: PreflightHost = thisHost,
): Promise<ExitCode> {
  const spec = await loadConfig(options.config, hostDefaults());
  return checkSpec(spec, options, io, openEngine, host, await checkConfigFile(options.config));
}

/** As checkCommand, of a configuration that may not be written yet. */
export async function checkSpec(
  configured: AgentSpec,
  options: CheckOptions,
  io: Io,
  openEngine: (socketPath: string) => Engine,
  host: PreflightHost = thisHost,
  ofTheFile: readonly Finding[] = [],
): Promise<ExitCode> {
  const spec = withJoined(configured, chosenStateDir(undefined, io.env) ?? configured.stateDir);
  const findings = [
    ok(`the configuration ${options.config} is valid`),
    ...ofTheFile,
    ...(await preflight(spec, io, openEngine(spec.engine.socket), host)),
  ];
  io.write(findingsText(findings, options.json === true, io.columns));
  return hasError(findings) ? 1 : 0;
}

async function preflight(spec: AgentSpec, io: Io, engine: Engine, host: PreflightHost): Promise<readonly Finding[]> {
  const stateDir = chosenStateDir(undefined, io.env) ?? spec.stateDir;
  const { findings, answers, running } = await checkEngine(spec, stateDir, engine, io.env);
  const programs = await checkHostPrograms(spec, io.env['PATH'] ?? '');
  const all = [
    ...findings,
    ...(await checkStateDir(stateDir)),
    ...(await checkCredentials(spec)),
    ...(await checkMachine(spec, host)),
    ...(await checkGate(spec, { stateDir, wallNow: Date.now(), engineAnswers: answers, root: host.root })),
    ...programs,
    ...suspiciousHostCommands(spec),
    // A program that is missing is said once.
    ...(programs.some(({ level, what }) => level === 'error' && what.startsWith('vars.')) ? [] : await checkDependencies(spec)),
    ...(await checkAccelerators(spec, { engine, path: io.env['PATH'] ?? '', running })),
    ...(spec.collector === null ? [] : await checkCollector(spec.collector, whoItWouldBe(spec, stateDir))),
  ];
  for (const workload of spec.workloads) {
    all.push(...(await checkHostPaths(workload)), ...(await checkBuckets(workload, host.root)), ...suspiciousCommands(workload));
    if (!running.has(workload.name)) all.push(...(await checkPorts(workload)));
  }
  return all;
}

/** Null: there is no state directory yet, or it cannot be read; another finding says so. */
function whoItWouldBe({ host }: AgentSpec, stateDir: string): Preflight | null {
  try {
    const machineId = readMachineId({ stateDir, keep: false });
    return { agentId: identityOf({ stateDir, machineId }).agentId, machineId, host: host.name, bootId: readBootId() };
  } catch {
    return null;
  }
}
