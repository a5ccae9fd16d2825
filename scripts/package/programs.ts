/** The command lines of what is packaged, as their own parsers have them: nothing is executed. */
import { systemClock } from '@relight/shared/clock';
import { agentProgram } from '@relight/agent/control/cli';
import { processIo } from '@relight/collector/cli/io';
import { operatorProgram } from '@relight/collector/cli/program';
import { collectorProgram } from '@relight/collector/program';

export type Program = ReturnType<typeof agentProgram>;

export type ProgramName = 'relight-agent' | 'relight-collector' | 'relight';

const silent = { env: {}, clock: systemClock, columns: null, write: () => {}, note: () => {} };

export function programOf(name: ProgramName, version: string): Program {
  if (name === 'relight-agent') return agentProgram(silent, () => {});
  if (name === 'relight-collector') return collectorProgram(() => {});
  return operatorProgram(processIo(new AbortController().signal), version, () => {});
}

/** A command with the way to it (`relight-agent import ray`), and those below it, as `--help` lists them. */
export interface Step {
  readonly path: readonly string[];
  readonly command: Program;
}

export function allCommands(command: Program, above: readonly string[] = []): readonly Step[] {
  const path = [...above, command.name()];
  return [{ path, command }, ...subcommands(command).flatMap((below) => allCommands(below, path))];
}

/** Without the `help` that every command line has. */
export function subcommands(command: Program): readonly Program[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((below) => below.name() !== 'help');
}

export type ProgramOption = Program['options'][number];

export function optionsOf(command: Program): readonly ProgramOption[] {
  return command.createHelp().visibleOptions(command);
}

/** What stands below a command's own help: examples, environment, exit codes. */
export function notesOf(command: Program): string {
  let all = '';
  const output = { ...command.configureOutput() };
  command.configureOutput({ writeOut: (text: string) => void (all += text) });
  command.outputHelp();
  command.configureOutput(output);
  return all.slice(command.helpInformation().length);
}
