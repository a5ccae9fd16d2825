/** The operator's `relight`: all commands, and what becomes of their errors. */
import { Command, CommanderError } from 'commander';
import { RelightError } from '@relight/shared/errors';
import { ApiClient } from './client.ts';
import type { AddCommand } from './cli.ts';
import { addActions } from './commands/actions.ts';
import { addAlerts } from './commands/alerts.ts';
import { addAudit } from './commands/audit.ts';
import { addEvents } from './commands/events.ts';
import { addExport } from './commands/export.ts';
import { addHost } from './commands/host.ts';
import { addHosts } from './commands/hosts.ts';
import { addIncidents } from './commands/incidents.ts';
import { addSearch } from './commands/search.ts';
import { addSinks, addTestAlert } from './commands/sinks.ts';
import { addStatus } from './commands/status.ts';
import { addSupportBundle } from './commands/support-bundle.ts';
import { addTail } from './commands/tail.ts';
import { addWait } from './commands/wait.ts';
import { resolveConnection, type ConnectionFlags } from './connection.ts';
import { exitCodeOf, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { machineOperatorFile } from './operator-file.ts';

const commands: readonly AddCommand[] = [
  addStatus,
  addHost,
  addEvents,
  addIncidents,
  addAlerts,
  addSinks,
  addTestAlert,
  addTail,
  addSearch,
  addExport,
  addWait,
  addActions,
  addHosts,
  addAudit,
  addSupportBundle,
];

const environmentHelp = `
Environment:
  RELIGHT_URL            address of the collector
                         (default: http://127.0.0.1:7460)
  RELIGHT_TOKEN          operator token, made on the collector:
                         relight-collector token create --kind operator
  RELIGHT_TOKEN_FILE     file that holds it
  RELIGHT_CA_FILE        certificate authority of the collector
  RELIGHT_FINGERPRINT    SHA-256 of its certificate, instead of an authority
  RELIGHT_OPERATOR_FILE  instead of the files below
  NO_COLOR               never use colour

Connection:
  Where flags and environment do not say, the first of these files that is
  there does: url, token or token_file, fingerprint or ca_file. One that others
  can read is refused.
  ~/.config/relight/operator.yaml
  ${machineOperatorFile}       for root, made by relight-collector init

Exit codes: 0 done, 1 the thing asked about is not so, 2 wrong usage,
            3 the collector cannot be reached.
`;

/** `args` without the program's own name. Never throws what a person can cause. */
export async function runCli(args: readonly string[], io: Io, version: string): Promise<ExitCode> {
  let exitCode: ExitCode = 0;
  const program = operatorProgram(io, version, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (thrown) {
    if (io.signal.aborted) return exitCode;
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    if (!(thrown instanceof RelightError)) throw thrown;
    io.note(`relight: ${thrown.message}\n${thrown.advice}`);
    return exitCodeOf(thrown.code);
  }
}

/** Also what man page and shell completions are made of. */
export function operatorProgram(io: Io, version: string, exitWith: (code: ExitCode) => void): Command {
  const program = new Command('relight')
    .description('One picture of the fleet: what is not ready, why, and what is being done about it.')
    .version(version)
    .option('--url <url>', 'address of the collector')
    .option('--token-file <file>', 'file that holds the operator token')
    .option('--ca-file <file>', 'PEM file with the certificate authority of the collector')
    .option('--fingerprint <sha256>', 'the certificate that the collector must show')
    .addHelpText('after', environmentHelp)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      // A reader that has gone (`--help | head`) ends the wait for it.
      writeOut: (text) => void io.write(text).catch(() => undefined),
      writeErr: (text) => io.note(text.trimEnd()),
      outputError: (text, write) => write(text.replace(/^error: /, 'relight: ')),
    })
    .showHelpAfterError('See --help.')
    .exitOverride();
  const client = (): ApiClient => new ApiClient(resolveConnection(program.opts<ConnectionFlags>(), io.env), io.signal);
  for (const add of commands) add(program, { io, client, exitWith });
  return program;
}
