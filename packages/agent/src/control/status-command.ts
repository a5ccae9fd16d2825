import { existsSync } from 'node:fs';
import { RelightError } from '@relight/shared/errors';
import { ControlClient, isNobodyThere } from './client.ts';
import { type ExitCode, type Io, stateDirOrDefault, usualConfig } from './io.ts';
import { statusLines } from './status-view.ts';
import { statusDocument } from './status.ts';

export interface StatusOptions {
  readonly stateDir?: string;
  readonly json?: boolean;
}

/** 0 when it could be shown, whatever it shows. Fails with agent-unreachable. */
export async function statusCommand(options: StatusOptions, io: Io): Promise<ExitCode> {
  const status = await new ControlClient(stateDirOrDefault(options.stateDir, io.env)).status().catch((thrown: unknown) => {
    throw notSetUp(thrown, io.env['RELIGHT_CONFIG'] ?? usualConfig) ?? thrown;
  });
  io.write(
    options.json === true ? `${JSON.stringify(statusDocument(status), null, 2)}\n` : `${statusLines(status, io.clock.now()).join('\n')}\n`,
  );
  return 0;
}

/** Null: something else is the matter. */
function notSetUp(thrown: unknown, config: string): RelightError | null {
  if (!isNobodyThere(thrown) || existsSync(config)) return null;
  return new RelightError('agent-unreachable', `${thrown.message}, and there is no configuration: ${config} is not there`, {
    advice:
      'Make it: relight-agent setup. A service that waits for it begins by itself; otherwise: systemctl start relight-agent. ' +
      'Of an agent with another configuration, give its --state-dir.',
    cause: thrown,
  });
}
