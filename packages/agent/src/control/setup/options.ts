/** The command line of `setup`. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { usualConfig, type Io } from '../io.ts';
import type { JoinTokenFlags } from '../join-token.ts';
import type { SetupFlags } from './answers.ts';

const text = (value: string): string => {
  if (value === '') throw new InvalidArgumentError('It is empty.');
  return value;
};
const several = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), text(value)];
const option = (flags: string, what: string): Option => new Option(flags, what).argParser(text);

/** Whatever says the token, from here on it is one. */
async function withJoinToken(flags: SetupFlags & JoinTokenFlags): Promise<SetupFlags> {
  if (flags.joinToken === undefined && flags.tokenFile === undefined) return flags;
  const { readJoinToken } = await import('../join-token.ts');
  return { ...flags, joinToken: await readJoinToken(flags.joinToken, flags) };
}

export function addSetup(program: Command, io: Io, run: (handler: () => Promise<number>) => void): void {
  program
    .command('setup')
    .summary('the first run: looks around, asks three questions, writes the configuration')
    .description(
      'Finds the engine, GPUs and TPUs, running containers and Ray cluster files; asks which containers to keep, which collector to report ' +
        'to and what this host is called, as far as flags do not say; then joins, writes the configuration, checks it and offers to start. ' +
        'A host that has a configuration keeps it as it is; with --collector and --join-token or --token-file it joins.',
    )
    .addOption(option('-c, --config <file>', 'where the configuration goes').env('RELIGHT_CONFIG').default(usualConfig))
    .addOption(new Option('--container <name>', 'keep this container, taken over as it runs; may be repeated').argParser(several))
    .addOption(option('--ray-yaml <file>', 'be a worker of this Ray cluster file'))
    .addOption(option('--node-type <type>', 'which of its available_node_types this host is'))
    .addOption(option('--head <address>', 'address of its head; default: what the file says, or a question to its cloud'))
    .addOption(new Option('--no-workloads', 'keep nothing yet'))
    .addOption(option('--collector <url>', 'join this collector'))
    .addOption(new Option('--no-collector', 'work alone'))
    .addOption(option('--join-token <token>', 'from relight-collector init, or token create --kind join; -: the first line of stdin'))
    .addOption(option('--token-file <file>', 'file that holds the join token, instead of naming it here'))
    .addOption(option('--fingerprint <sha256>', 'the certificate that the collector must show; without it authorities are asked'))
    .addOption(option('--ca-file <file>', 'PEM file with the certificate authority of the collector'))
    .addOption(new Option('--allow-plaintext', 'join also without TLS, on a network that you trust'))
    .addOption(option('--host <name>', 'name of this host (default: the hostname)'))
    .addOption(new Option('--label <key=value>', 'label of this host, such as pool=v5e; may be repeated').argParser(several))
    .addOption(option('--state-dir <dir>', 'where the agent keeps its state (RELIGHT_STATE_DIR; default: /var/lib/relight)'))
    .addOption(option('--socket <path>', 'socket of the engine (default: /var/run/docker.sock)'))
    .addOption(new Option('-y, --yes', 'ask nothing: what flags do not say is as proposed, the start included'))
    // Before its opposite, which would have a default otherwise.
    .addOption(new Option('--start', 'start the agent when check finds no error'))
    .addOption(new Option('--no-start', 'do not start the agent, nor ask whether to'))
    .addOption(new Option('--dry-run', 'print the configuration; join, write and start nothing'))
    .addOption(new Option('--force', 'replace a configuration that is there and holds nothing that would be lost; it is kept as FILE.bak'))
    .addHelpText(
      'after',
      `
Examples:
  $ relight-agent setup
  $ relight-agent setup --yes --dry-run
  $ relight-agent setup --yes --collector https://collector.example:7460 \\
      --token-file /run/relight-join --fingerprint 3f5a…
  $ relight-agent setup --container trainer --label pool=v5e \\
      --collector https://collector.example:7460 --join-token rlj_… \\
      --fingerprint 3f5a…
`,
    )
    .action((flags: SetupFlags & JoinTokenFlags) =>
      run(async () => (await import('../setup-command.ts')).setupCommand(await withJoinToken(flags), io)),
    );
}
