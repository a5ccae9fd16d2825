import { existsSync } from 'node:fs';
import { RelightError } from '@relight/shared/errors';
import { loadConfig } from '../config/load.ts';
import { ControlClient, isNobodyThere } from './client.ts';
import { hostDefaults } from './host-defaults.ts';
import { type ExitCode, type Io, stateDirOrDefault, usualConfig } from './io.ts';
import { statusLines } from './status-view.ts';
import { statusDocument } from './status.ts';

export interface StatusOptions {
  readonly stateDir?: string;
  readonly json?: boolean;
}

/** 0 when it could be shown, whatever it shows. Fails with agent-unreachable. */
export async function statusCommand(options: StatusOptions, io: Io): Promise<ExitCode> {
  const status = await new ControlClient(stateDirOrDefault(options.stateDir, io.env)).status().catch(async (thrown: unknown) => {
    throw await whyNobody(thrown, io.env['RELIGHT_CONFIG'] ?? usualConfig);
  });
  io.write(
    options.json === true
      ? `${JSON.stringify(statusDocument(status), null, 2)}\n`
      : `${statusLines(status, io.clock.now(), io.columns).join('\n')}\n`,
  );
  return 0;
}

/** With what the configuration has to do with it. */
async function whyNobody(thrown: unknown, config: string): Promise<unknown> {
  if (!isNobodyThere(thrown)) return thrown;
  if (existsSync(config)) return (await notUsable(thrown, config)) ?? thrown;
  return new RelightError('agent-unreachable', `${thrown.message}, and there is no configuration: ${config} is not there`, {
    advice:
      'Make it: relight-agent setup. A service that waits for it begins by itself; otherwise: systemctl start relight-agent. ' +
      'Of an agent with another configuration, give its --state-dir.',
    cause: thrown,
  });
}

/** An agent is not started with such a file, however often the service tries. Null: something else is the matter. */
async function notUsable(nobody: RelightError, config: string): Promise<RelightError | null> {
  try {
    await loadConfig(config, hostDefaults());
    return null;
  } catch (cause) {
    if (!(cause instanceof RelightError) || cause.code !== 'config-invalid') return null;
    return new RelightError('agent-unreachable', `${nobody.message}, and none can be started with its configuration:\n${cause.message}`, {
      advice: `${cause.advice} The service tries every few seconds; relight-agent check looks at the whole of it. Of an agent with another configuration, give its --state-dir.`,
      cause,
    });
  }
}
