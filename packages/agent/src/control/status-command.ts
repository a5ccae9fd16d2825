import { ControlClient } from './client.ts';
import { type ExitCode, type Io, stateDirOrDefault } from './io.ts';
import { statusLines } from './status-view.ts';
import { statusDocument } from './status.ts';

export interface StatusOptions {
  readonly stateDir?: string;
  readonly json?: boolean;
}

/** 0 when it could be shown, whatever it shows. Fails with agent-unreachable. */
export async function statusCommand(options: StatusOptions, io: Io): Promise<ExitCode> {
  const status = await new ControlClient(stateDirOrDefault(options.stateDir, io.env)).status();
  io.write(
    options.json === true ? `${JSON.stringify(statusDocument(status), null, 2)}\n` : `${statusLines(status, io.clock.now()).join('\n')}\n`,
  );
  return 0;
}
