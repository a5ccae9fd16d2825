/** `relight-agent run`: configuration, log, and the service until it is told to stop. */
import { loadConfig } from '../config/load.ts';
import type { AgentSpec } from '../config/spec.ts';
import { runAgent } from '../agent.ts';
import { AgentLog } from '../logs/origins/agent-log.ts';
import { agentVersion } from '../version.ts';
import { hostDefaults } from './host-defaults.ts';
import type { LogLevel } from './log-level.ts';
import { createLogger } from './logger.ts';
import { chosenStateDir, type Io } from './io.ts';
import { withJoined } from '../uplink/joined.ts';

export interface RunOptions {
  readonly config: string;
  readonly stateDir?: string;
  readonly logLevel: LogLevel;
}

/** Resolves with the exit code after a clean stop. Fails with config-invalid, config-unreadable or already-running. */
export async function runCommand(options: RunOptions, io: Io): Promise<number> {
  const chosen = chosenStateDir(options.stateDir, io.env);
  const loadSpec = async (file: string): Promise<AgentSpec> => {
    const configured = await loadConfig(file, hostDefaults());
    return withJoined(configured, chosen ?? configured.stateDir);
  };
  const spec = await loadSpec(options.config);
  const stateDir = chosen ?? spec.stateDir;
  const ownLog = new AgentLog();
  const logger = createLogger({ level: options.logLevel, terminal: process.stdout.isTTY, version: agentVersion, copy: ownLog });
  return runAgent({ spec, loadSpec, stateDirGiven: chosen !== undefined, stateDir, logger, ownLog });
}
