/** `relight-agent reload`: has the running agent read its configuration again, and says what that changed. */
import { ControlClient } from './client.ts';
import { type ExitCode, type Io, stateDirOrDefault } from './io.ts';

export interface ReloadOptions {
  readonly stateDir?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const headlines = {
  applied: 'taken up:',
  'would-apply': 'would be taken up:',
  unchanged: '',
  refused: 'the configuration before it goes on:',
} as const;

/** 2 when the file cannot be used: then nothing has changed. Fails with agent-unreachable. */
export async function reloadCommand(options: ReloadOptions, io: Io): Promise<ExitCode> {
  const client = new ControlClient(stateDirOrDefault(options.stateDir, io.env));
  const outcome = await client.reload({ dryRun: options.dryRun === true });
  const { result, lines } = outcome;
  const text = headlines[result] === '' ? lines : [headlines[result], ...lines.map((line) => `  ${line}`)];
  if (options.json === true) io.write(`${JSON.stringify(outcome, null, 2)}\n`);
  else if (result === 'refused') io.note(`relight-agent: ${text.join('\n')}`);
  else io.write(`${text.join('\n')}\n`);
  return result === 'refused' ? 2 : 0;
}
