/** `relight-agent run`: configuration, log, and the service until it is told to stop. */
import { tellingWhy } from '@relight/shared/start-refusal';
import type { AgentSpec } from '../config/spec.ts';
import { runAgent } from '../agent.ts';
import { AgentLog } from '../logs/origins/agent-log.ts';
import { agentVersion } from '../version.ts';
import { awaitConfig } from './await-config.ts';
import { loadOnHost } from './host-defaults.ts';
import type { LogLevel } from './log-level.ts';
import { createLogger } from './logger.ts';
import { chosenStateDir, type Io } from './io.ts';
import { withJoined } from '../uplink/joined.ts';

export interface RunOptions {
  readonly config: string;
  readonly stateDir?: string;
  readonly logLevel: LogLevel;
  /** A file that is not there is awaited; otherwise that is config-unreadable. */
  readonly waitForConfig?: true;
}

/** Resolves with the exit code after a clean stop. Fails with config-invalid, config-unreadable or already-running. */
export async function runCommand(options: RunOptions, io: Io): Promise<number> {
  return tellingWhy((serves) => run(options, io, serves), { env: { ...io.env }, clock: io.clock, check: 'relight-agent check' });
}

async function run(options: RunOptions, io: Io, serves: () => void): Promise<number> {
  const chosen = chosenStateDir(options.stateDir, io.env);
  const load = async (file: string, groupMayBeAway: (name: string) => boolean): Promise<AgentSpec> => {
    const configured = await loadOnHost(file, { clock: io.clock, groupMayBeAway });
    return withJoined(configured, chosen ?? configured.stateDir);
  };
  const ownLog = new AgentLog();
  const logger = createLogger({ level: options.logLevel, terminal: process.stdout.isTTY, version: agentVersion, copy: ownLog });
  if (options.waitForConfig === true) await awaitConfig(options.config, { clock: io.clock, env: io.env, logger });
  // After a reboot the directory service may come later than this, and workloads wait for nobody whom they do not need.
  const spec = await load(options.config, () => true);
  const loadSpec = (file: string): Promise<AgentSpec> => load(file, (name) => name === spec.control.group?.name);
  const stateDir = chosen ?? spec.stateDir;
  return runAgent({ spec, loadSpec, stateDirGiven: chosen !== undefined, stateDir, logger, ownLog }, serves);
}
