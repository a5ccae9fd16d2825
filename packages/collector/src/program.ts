/** `relight-collector`: its commands, and what becomes of their errors. */
import { RelightError } from '@relight/shared/errors';
import { version } from '@relight/shared/version';
import { Command, CommanderError } from 'commander';
import { outputFailed } from './cli/io.ts';
import { addBackup } from './commands/backup.ts';
import { addCertificate } from './commands/certificate.ts';
import { addCheck } from './commands/check.ts';
import { addInit } from './commands/init.ts';
import { addServe } from './commands/serve.ts';
import { addSupportBundle } from './commands/support-bundle.ts';
import { addToken } from './commands/token.ts';
import { addVerify } from './commands/verify.ts';

/** 0 done, 1 the thing asked about is not so (or a defect), 2 wrong usage or configuration. */
export type ExitCode = 0 | 1 | 2;

const environmentHelp = `
Environment (wins over the file, flags win over it):
  RELIGHT_COLLECTOR_LISTEN    HOST:PORT
  RELIGHT_COLLECTOR_DATA_DIR  directory

Exit codes: 0 done, 1 the thing asked about is not so,
            2 wrong usage or configuration.
`;

/** `argv` as the process has it. Never throws. */
export async function runProgram(argv: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = 0;
  // `relight-collector token list | head` is not an error, and a service whose log reader has gone must go on without it.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => outputFailed('relight-collector', error));
  // There is nowhere else to say it.
  process.stderr.on('error', () => undefined);
  const program = collectorProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...argv]);
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`${describe(error)}\n`);
    return exitCodeOf(error);
  }
}

/** Also what man page and shell completions are made of. */
export function collectorProgram(exitWith: (code: ExitCode) => void): Command {
  const program = new Command('relight-collector')
    .description('One picture of the whole fleet: takes in what agents report, answers operators.')
    .version(version)
    .addHelpText('after', environmentHelp)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'relight-collector: ')) })
    .showHelpAfterError('See --help.')
    .exitOverride();
  addInit(program);
  addServe(program, version);
  addCheck(program, exitWith);
  addToken(program, exitWith);
  addCertificate(program);
  addBackup(program);
  addVerify(program, exitWith);
  addSupportBundle(program, version);
  return program;
}

function describe(error: unknown): string {
  // What the system refuses is no defect: where, and why, is what a person can do something about.
  if (error instanceof Error && 'syscall' in error)
    return `relight-collector: ${error.message}\nCheck the path, its permissions and its disk.`;
  if (!(error instanceof RelightError))
    return `relight-collector: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  return `relight-collector: ${error.message}\n${error.advice}`;
}

function exitCodeOf(error: unknown): ExitCode {
  const notSo = error instanceof RelightError && (error.code === 'not-found' || error.code === 'conflict');
  return error instanceof RelightError && !notSo ? 2 : 1;
}
