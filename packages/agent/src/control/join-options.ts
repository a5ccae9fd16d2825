/** The command line of `join`. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Io } from './io.ts';
import type { JoinFlags } from './join-command.ts';
import type { JoinTokenFlags } from './join-token.ts';

const text = (value: string): string => {
  if (value === '') throw new InvalidArgumentError('It is empty.');
  return value;
};
const option = (flags: string, what: string): Option => new Option(flags, what).argParser(text);

export function addJoin(program: Command, io: Io, run: (handler: () => Promise<number>) => void): void {
  program
    .command('join')
    .summary('become a host of a collector')
    .description(
      'Exchanges a join token for a token of this host alone, and remembers the collector. Every agent with this state directory whose ' +
        'configuration names no collector reports to it.',
    )
    .argument('<url>', 'address of the collector', text)
    .argument('[join-token]', 'from relight-collector init, or token create --kind join; -: the first line of stdin', text)
    .addOption(option('--token-file <file>', 'file that holds the join token, instead of naming it here'))
    .addOption(option('--fingerprint <sha256>', 'the certificate that the collector must show; without it authorities are asked'))
    .addOption(option('--ca-file <file>', 'PEM file with the certificate authority of the collector'))
    .addOption(option('-c, --config <file>', "the agent's configuration, for its name and state directory"))
    .addOption(option('--host <name>', 'name of this host (default: what the configuration says, else the hostname)'))
    .addOption(
      option(
        '--state-dir <dir>',
        'where the agent keeps its state (RELIGHT_STATE_DIR; default: what the configuration says, else /var/lib/relight)',
      ),
    )
    .option('--allow-plaintext', 'also without TLS, on a network that you trust')
    .addHelpText(
      'after',
      `
Examples:
  $ relight-agent join https://collector.example:7460 rlj_… \\
      --fingerprint 3f5a…
  $ relight-agent join https://collector.example:7460 \\
      --token-file /run/relight-join --fingerprint 3f5a…
  $ fetch-secret relight-join | relight-agent join \\
      https://collector.example:7460 - --fingerprint 3f5a…

Every user of this host sees the words of a command while it runs (ps): where
that matters, take --token-file or -.
`,
    )
    .action((url: string, given: string | undefined, flags: JoinFlags & JoinTokenFlags) =>
      run(async () => {
        const { readJoinToken } = await import('./join-token.ts');
        const { joinCommand } = await import('./join-command.ts');
        return joinCommand(url, await readJoinToken(given, flags), flags, io);
      }),
    );
}
