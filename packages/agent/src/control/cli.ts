/**
 * All commands of `relight-agent`. Each is loaded when it is called: `--help` answers at once, and the service carries none
 * of the others in its memory.
 */
import { catalogue, RelightError } from '@relight/shared/errors';
import { parseDurationMs } from '@relight/shared/units';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { agentVersion } from '../version.ts';
import type { ControlAction } from './action.ts';
import { exitCodeOf } from './exit-code.ts';
import type { RayFlags } from './import-command.ts';
import { usualConfig, type Io } from './io.ts';
import { addJoin } from './join-options.ts';
import { logLevels } from './log-level.ts';
import type { RunOptions } from './run-command.ts';
import { addSetup } from './setup/options.ts';

type Handler = () => Promise<number>;
type Add = (program: Command, io: Io, run: (handler: Handler) => void) => void;

const exitCodesHelp = `
Exit codes: 0 done, 1 the thing asked about is not so,
            2 wrong usage or configuration,
            3 the other side (agent, engine) cannot be reached.
`;

/** `args` without the program's own name, `uid`: who calls it. Resolves with the exit code; rejects only on a defect. */
export async function runCli(args: readonly string[], io: Io, uid = process.getuid?.()): Promise<number> {
  try {
    return await commandOf(args, io)();
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    const error = noPermission(thrown, uid) ?? thrown;
    if (!(error instanceof RelightError)) throw thrown;
    io.note(`relight-agent: ${error.message}\n${error.advice}`);
    return exitCodeOf(error.code);
  }
}

/** Files of root's, asked for by somebody else: no defect, so no trace of the stack. Null: something else is the matter, as it is for root. */
function noPermission(thrown: unknown, uid: number | undefined): RelightError | null {
  if (uid === 0) return null;
  const { message } = thrown as Error;
  // A configuration has its mode from setup: 0600.
  const { code } = (isUnreadable(thrown) ? thrown.cause : thrown) as NodeJS.ErrnoException;
  if (code !== 'EACCES' && code !== 'EPERM') return null;
  return new RelightError('config-unreadable', message, { cause: thrown, advice: 'Run this command as root: sudo relight-agent …' });
}

const isUnreadable = (thrown: unknown): thrown is RelightError =>
  thrown instanceof RelightError && thrown.cause instanceof Error && thrown.advice === catalogue['config-unreadable'].advice;

/** Apart from its execution, which may take months: all the other commands and their help are not kept for that. */
function commandOf(args: readonly string[], io: Io): Handler {
  let command: Handler = () => Promise.resolve(0);
  const program = agentProgram(io, (handler) => {
    command = handler;
  });
  program.parse(args, { from: 'user' });
  return command;
}

/** Also what man page and shell completions are made of. `run` is given what a command does. */
export function agentProgram(io: Io, run: (handler: Handler) => void): Command {
  const program = new Command('relight-agent')
    .description("Keeps this host's containers useful: notices what goes out and relights it.")
    .version(agentVersion)
    .addHelpText('after', exitCodesHelp)
    .configureOutput({
      writeOut: (text) => io.write(text),
      writeErr: (text) => io.note(text.trimEnd()),
      outputError: (text, write) => write(text.replace(/^error: /, 'relight-agent: ')),
    })
    // passThroughOptions of `import docker-run` needs it.
    .enablePositionalOptions()
    .showHelpAfterError('See --help.')
    .exitOverride();
  for (const add of [
    addSetup,
    addRun,
    addJoin,
    addCheck,
    addPlan,
    addStatus,
    addReload,
    addIncidents,
    addSupportBundle,
    addPause,
    addResume,
    addRestart,
    addReplay,
    addImport,
    addFacts,
  ])
    add(program, io, run);
  return program;
}

const addRun: Add = (program, io, run) => {
  program
    .command('run')
    .summary('the service')
    .description('Runs the agent until SIGTERM or SIGINT. Stopping it leaves the workloads running; starting it adopts them again.')
    .addOption(configOption().makeOptionMandatory())
    .addOption(new Option('--wait-for-config', 'wait for a configuration that is not there yet, as the service does'))
    .addOption(stateDirOption('what the configuration says, else /var/lib/relight'))
    .addOption(
      new Option('--log-level <level>', 'what to log to stdout: JSON, or short lines on a terminal')
        .choices(logLevels)
        .default('info')
        .env('RELIGHT_LOG_LEVEL'),
    )
    .addHelpText('after', examples(['relight-agent run --config /etc/relight/agent.yaml']))
    .action((options: RunOptions) => run(async () => (await import('./run-command.ts')).runCommand(options, io)));
};

const addCheck: Add = (program, io, run) => {
  program
    .command('check')
    .summary('preflight: what is missing on this host, and how to fix it')
    .description('Looks at everything the configuration needs: engine, image, devices, mounts, binaries, credentials, ports, collector.')
    .addOption(usualConfigOption())
    .addOption(jsonOption())
    .addHelpText('after', examples(['relight-agent check', 'relight-agent check --config new.yaml']))
    .action((options: { config: string; json?: true }) => run(async () => (await import('./check-command.ts')).checkCommand(options, io)));
};

const addPlan: Add = (program, io, run) => {
  program
    .command('plan')
    .summary('what would be done; touches nothing')
    .description('Shows stage by stage what would be done, with deadlines and retry schedule, and what a change would restart.')
    .addOption(usualConfigOption())
    .addOption(stateDirOption('what the configuration says, else /var/lib/relight'))
    .addOption(jsonOption())
    .addHelpText('after', examples(['relight-agent plan', 'relight-agent plan --config new.yaml']))
    .action((options: { config: string; stateDir?: string; json?: true }) =>
      run(async () => (await import('./plan-command.ts')).planCommand(options, io)),
    );
};

const addStatus: Add = (program, io, run) => {
  program
    .command('status')
    .summary('what the agent on this host is doing')
    .description('Shows the live state: every workload with its phase, why, the stage under way and the next attempt.')
    .addOption(stateDirOption('/var/lib/relight'))
    .addOption(jsonOption())
    .addHelpText('after', examples(['relight-agent status', 'relight-agent status --json | jq .workloads[].phase']))
    .action((options: { stateDir?: string; json?: true }) =>
      run(async () => (await import('./status-command.ts')).statusCommand(options, io)),
    );
};

const addReload: Add = (program, io, run) => {
  program
    .command('reload')
    .summary('has the agent read its configuration again, and says what that changes')
    .description(
      'The agent reads its file by itself when it changes, and at SIGHUP; this does it now and shows the outcome. Only what changed is ' +
        'touched. A file that cannot be used changes nothing.',
    )
    .option('--dry-run', 'only say what would change')
    .addOption(stateDirOption('/var/lib/relight'))
    .addOption(jsonOption())
    .addHelpText('after', examples(['relight-agent reload --dry-run', 'relight-agent reload']))
    .action((options: { stateDir?: string; dryRun?: true; json?: true }) =>
      run(async () => (await import('./reload-command.ts')).reloadCommand(options, io)),
    );
};

const addIncidents: Add = (program, io, run) => {
  program
    .command('incidents')
    .summary('what has failed on this host, why, and what became of it')
    .description('Failures and their recovery, newest first; with an ID: one of them, its cause first. Needs neither collector nor agent.')
    .argument('[id]', 'one incident; the beginning of its id is enough', notEmpty)
    .option('--full', 'of one: all of its evidence')
    .addOption(new Option('--evidence <name>', 'of one: this piece of its evidence, nothing else').argParser(notEmpty))
    .addOption(stateDirOption('/var/lib/relight'))
    .addOption(jsonOption())
    .addHelpText('after', examples(['relight-agent incidents', 'relight-agent incidents 20260131-1200 --evidence log:process']))
    .action((id: string | undefined, options: { stateDir?: string; json?: true; full?: true; evidence?: string }) =>
      run(async () => (await import('./incidents-command.ts')).incidentsCommand(id, options, io)),
    );
};

const addSupportBundle: Add = (program, io, run) => {
  program
    .command('support-bundle')
    .summary('what somebody needs to understand this host from afar, in one file, without secrets')
    .description(
      'Writes a .tar.gz with status, configuration, recent events, incidents, the own log, versions and facts of the host. Values of ' +
        'environments, variables, env files and tokens are taken out. Works without a running agent, too.',
    )
    .addOption(
      new Option('-c, --config <file>', 'the configuration (default: what the agent uses)').env('RELIGHT_CONFIG').argParser(notEmpty),
    )
    .addOption(new Option('-o, --output <file>', 'where to write it; never over a file that is there').argParser(notEmpty))
    .addOption(stateDirOption('/var/lib/relight'))
    .addHelpText('after', examples(['relight-agent support-bundle', 'relight-agent support-bundle --output /tmp/tpu-0.tar.gz']))
    .action((options: { config?: string; output?: string; stateDir?: string }) =>
      run(async () => (await import('./support-bundle-command.ts')).supportBundleCommand(options, io)),
    );
};

interface ActionFlags {
  readonly stateDir?: string;
  readonly json?: true;
  readonly reason?: string;
  readonly level?: 'process' | 'container';
  readonly for?: number;
}

function actionCommand(program: Command, io: Io, run: Parameters<Add>[2], action: ControlAction['action']): Command {
  return program
    .command(action)
    .argument('[workload]', 'name of a workload; without it: all of this host', notEmpty)
    .addOption(new Option('--reason <text>', 'why, for everybody who looks later').argParser(reason))
    .addOption(stateDirOption('/var/lib/relight'))
    .addOption(jsonOption())
    .action((workload: string | undefined, flags: ActionFlags) =>
      run(async () => {
        const { actionCommand: act } = await import('./action-command.ts');
        const request: ControlAction = {
          action,
          ...(workload === undefined ? {} : { workload }),
          ...(flags.level === undefined ? {} : { level: flags.level }),
          ...(flags.reason === undefined ? {} : { reason: flags.reason }),
          ...(flags.for === undefined ? {} : { forMs: flags.for }),
        };
        return act(request, flags, io);
      }),
    );
}

const addPause: Add = (program, io, run) => {
  actionCommand(program, io, run, 'pause')
    .summary('for maintenance: whatever happens, nothing is restarted')
    .description('Pauses supervision. The container and its process go on; whatever happens to them, Relight only reports it.')
    .addOption(new Option('--for <duration>', 'resume by itself after this time, like 30m or 2h').argParser(duration))
    .addHelpText('after', examples(['relight-agent pause ray-worker --for 2h --reason "driver upgrade"', 'relight-agent pause']));
};

const addResume: Add = (program, io, run) => {
  actionCommand(program, io, run, 'resume')
    .summary('ends a pause, and tries at once what is held or waiting')
    .description('Ends a pause. A workload that is held or waits for its next attempt is tried at once.')
    .addHelpText('after', examples(['relight-agent resume ray-worker', 'relight-agent resume']));
};

const addRestart: Add = (program, io, run) => {
  actionCommand(program, io, run, 'restart')
    .summary('restarts the process or the whole container')
    .description(
      'Restarts a workload. It costs nothing of its restart budget. Where Relight runs no process of its own in the container, a new ' +
        'container is made; an adopted one is thrown away only when --level container says so.',
    )
    .addOption(
      new Option('--level <level>', 'process: in the same container (the default); container: a new one, set up anew').choices([
        'process',
        'container',
      ]),
    )
    .addHelpText(
      'after',
      examples(['relight-agent restart ray-worker', 'relight-agent restart ray-worker --level container --reason "new driver"']),
    );
};

interface ReplayFlags {
  readonly workload?: string;
  readonly config?: string;
  readonly since?: number;
  readonly until?: number;
  readonly stateDir?: string;
  readonly json?: true;
}

const addReplay: Add = (program, io, run) => {
  program
    .command('replay')
    .summary('decides again what was decided, step by step; what another configuration would have done')
    .description(
      'Makes every decision of an incident again from the recorded inputs, with its reason, and proves that it is the same. With --config, ' +
        'shows what another restart policy would have decided for the same failures. Touches nothing.',
    )
    .argument('[incident]', 'id of an incident of this host; without it: all that is recorded', notEmpty)
    .addOption(new Option('--workload <name>', 'of this workload only').argParser(notEmpty))
    .addOption(new Option('-c, --config <file>', 'another configuration, to compare with').argParser(notEmpty))
    .addOption(new Option('--since <time>', 'not before: how long ago (10m), or a time (2026-01-31T12:00:00Z)').argParser(time(io)))
    .addOption(new Option('--until <time>', 'not after').argParser(time(io)))
    .addOption(stateDirOption('/var/lib/relight'))
    .addOption(jsonOption())
    .addHelpText('after', examples(['relight-agent replay 20260131-120000-x7k2m9', 'relight-agent replay --since 1h --config new.yaml']))
    .action((incident: string | undefined, flags: ReplayFlags) =>
      run(async () => (await import('./replay-command.ts')).replayCommand(incident, flags, io)),
    );
};

const addImport: Add = (program, io, run) => {
  const group = program
    .command('import')
    .summary('writes a configuration from what exists today')
    .description('Writes a configuration to stdout, and what could not be carried over to stderr.');
  group
    .command('ray')
    .description(
      'From a Ray cluster YAML that works with `ray up`: what it does for one worker. Everything that is not carried over is listed.',
    )
    .argument('<file>', 'the cluster YAML, without templates')
    .option('--node-type <type>', 'which of available_node_types this host is')
    .option('--head <address>', 'address of the head; default: what the file says, or a question to its cloud')
    .option('--socket <path>', 'socket of the engine, which is asked for its runtimes', '/var/run/docker.sock')
    .addHelpText('after', examples(['relight-agent import ray cluster.yaml --node-type tpu_worker > agent.yaml']))
    .action((file: string, options: RayFlags) =>
      run(async () => (await import('./import-command.ts')).importRayCommand(file, options, io)),
    );
  group
    .command('container')
    .description('From a container that exists on this host.')
    .argument('<name>', 'name or id of the container')
    .option('--socket <path>', 'socket of the engine', '/var/run/docker.sock')
    .addHelpText('after', examples(['relight-agent import container ray_docker > agent.yaml']))
    .action((name: string, options: { socket: string }) =>
      run(async () => (await import('./import-command.ts')).importContainerCommand(name, options, io)),
    );
  group
    .command('docker-run')
    .description('From a `docker run` command line.')
    .argument('<command...>', 'the command, after --')
    .passThroughOptions()
    .addHelpText('after', examples(['relight-agent import docker-run -- docker run -d my/image > agent.yaml']))
    .action((argv: string[]) => run(async () => (await import('./import-command.ts')).importDockerRunCommand(argv, io)));
};

/** For the service alone, which calls it as a child: what it loads would stay in the service's memory. */
const addFacts: Add = (program, io, run) => {
  program
    .command('facts', { hidden: true })
    .description('Tells what is known of this machine, as one JSON document.')
    .action(() => run(async () => (await import('./facts-command.ts')).factsCommand(io)));
};

const configOption = (): Option => new Option('-c, --config <file>', 'the configuration').env('RELIGHT_CONFIG').argParser(notEmpty);
/** For those who look: the service has to be told what it runs. */
const usualConfigOption = (): Option => configOption().default(usualConfig);
const jsonOption = (): Option => new Option('--json', 'one JSON document');
const stateDirOption = (otherwise: string): Option =>
  new Option('--state-dir <dir>', `where the agent keeps its state (RELIGHT_STATE_DIR; default: ${otherwise})`).argParser(notEmpty);

function notEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.');
  return text;
}

function reason(text: string): string {
  if (text.length > 1000) throw new InvalidArgumentError('It has more than 1000 characters.');
  return notEmpty(text);
}

function duration(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError('Expected a duration with a unit, like 30m or 2h.');
  return ms;
}

/** `10m` (ago), or an ISO-8601 time → epoch milliseconds. */
const time =
  ({ clock }: Io) =>
  (text: string): number => {
    const ago = parseDurationMs(text);
    if (ago !== undefined) return clock.now() - ago;
    const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(at)) throw new InvalidArgumentError('Expected how long ago (10m) or a time (2026-01-31T12:00:00Z).');
    return at;
  };

function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}\n`).join('')}`;
}
