import type { Command } from 'commander';
import { choice, duration, target, type Target } from '../arguments.ts';
import { examples, type AddCommand, type Cli } from '../cli.ts';
import { segment } from '../client.ts';

interface ActionOptions {
  readonly level?: string;
  readonly for?: string;
  readonly reason?: string;
}

interface ActionAnswer {
  readonly ok: boolean;
  readonly message: string;
}

/** restart, pause and resume: what the collector passes on to the agent of the host. */
export const addActions: AddCommand = (program, cli) => {
  const restart = actionCommand(program, 'restart', 'restart a workload now, without cost to its budget', cli);
  restart
    .option(
      '--level <level>',
      'process: in the same container (the default); container: a new one, set up anew',
      choice(['process', 'container']),
    )
    .option('--reason <text>', 'why, for the events')
    .addHelpText(
      'after',
      examples([
        'relight restart tpu-v5e-0/ray-worker',
        'relight restart tpu-v5e-0/ray-worker --level container --reason "new image"',
        'relight restart tpu-v5e-0',
      ]),
    );
  const pause = actionCommand(program, 'pause', 'keep hands off for maintenance', cli);
  pause
    .option('--for <duration>', 'ends by itself after this time', duration)
    .option('--reason <text>', 'why, for the events')
    .addHelpText('after', examples(['relight pause tpu-v5e-0/ray-worker --for 2h --reason "debugging by hand"']));
  const resume = actionCommand(program, 'resume', 'end a pause, or try what is held once more', cli);
  resume
    .option('--reason <text>', 'why, for the events')
    .addHelpText('after', examples(['relight resume tpu-v5e-0/ray-worker', 'relight resume tpu-v5e-0']));
};

function actionCommand(program: Command, name: string, summary: string, cli: Cli): Command {
  return program
    .command(name)
    .summary(summary)
    .description(`${summary[0]?.toUpperCase()}${summary.slice(1)}. Without a workload: all of the host.`)
    .argument('<target>', 'HOST or HOST/WORKLOAD', target)
    .action(async ({ host, workload }: Target, options: ActionOptions) => {
      const path = workload === null ? `hosts/${segment(host)}/actions` : `workloads/${segment(host)}/${segment(workload)}/actions`;
      const answer = await cli.client().post<ActionAnswer | null>(path, { action: name, ...options });
      const subject = workload === null ? host : `${host}/${workload}`;
      if (answer?.ok === false) cli.exitWith(1);
      await cli.io.write(`${subject}: ${answer?.message ?? `${name} accepted`}\n`);
    });
}
