import { catalogue, type ErrorCode } from '@relight/shared/errors';
import type { ControlAction } from './action.ts';
import { ControlClient } from './client.ts';
import { type ExitCode, type Io, stateDirOrDefault } from './io.ts';

export interface ActionOptions {
  readonly stateDir?: string;
  readonly json?: boolean;
}

/** 0 when the agent does it, 1 when it refuses. Fails with agent-unreachable. */
export async function actionCommand(action: ControlAction, options: ActionOptions, io: Io): Promise<ExitCode> {
  const outcome = await new ControlClient(stateDirOrDefault(options.stateDir, io.env)).act(action);
  if (options.json === true) io.write(`${JSON.stringify(outcome, null, 2)}\n`);
  else if (outcome.ok) io.write(`${outcome.message}\n`);
  else io.note(`relight-agent: ${outcome.message}${adviceFor(outcome.code)}`);
  return outcome.ok ? 0 : 1;
}

/** An agent of another version may know codes that this one does not. */
function adviceFor(code: string | undefined): string {
  return code !== undefined && Object.hasOwn(catalogue, code) ? `\n${catalogue[code as ErrorCode].advice}` : '';
}
