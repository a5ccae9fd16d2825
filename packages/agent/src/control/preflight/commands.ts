/** Commands that do what they say and not what was meant. Pure. */
import type { AgentSpec, Command, WorkloadSpec } from '../../config/spec.ts';
import { splitShellWords } from '../../config/shell-words.ts';
import { warning, type Finding } from '@relight/shared/finding';

export function suspiciousCommands(workload: WorkloadSpec): readonly Finding[] {
  const { name, container, process } = workload;
  const commands: readonly (readonly [string, Command | null])[] = [
    ['process.before', process?.before ?? null],
    ['process.run', process?.run ?? null],
    ...workload.setup.flatMap((item) => (item.kind === 'step' ? [[`setup "${item.name}"`, item.run] as const] : [])),
    ...workload.mounts.flatMap((mount) => (mount.type === 'command' ? [[`mount ${mount.name}`, mount.run] as const] : [])),
    ...[...workload.ready, ...workload.live].flatMap(({ name: check, probe }) =>
      probe.kind === 'exec' ? [[check, probe.run] as const] : [],
    ),
  ];
  return [
    ...finiteSleep(name, container.command ?? container.entrypoint ?? []),
    ...(process === null ? [] : goesToBackground(`${name}: process.run`, textOf(process.run))),
    ...commands.flatMap(([where, command]) => (command === null ? [] : blindWait(`${name}: ${where}`, textOf(command)))),
    ...commands.flatMap(([where, command]) => (command === null ? [] : suspicious(`${name}: ${where}`, textOf(command)))),
    ...(process === null && workload.ready.length + workload.mounts.length === 0
      ? [warning(`${name}: nothing proves that it is useful`, 'Add a check under ready:, or a process:.')]
      : []),
  ];
}

const textOf = (command: Command): string => ('text' in command ? command.text : command.argv.join(' '));

/** `sleep 3600` as the main command: the container dies after an hour, as it did at minute 59 in the field. */
function finiteSleep(workload: string, argv: readonly string[]): readonly Finding[] {
  const match = /(?:^|[\s;&/])sleep\s+(\d[\d.]*[smhd]?)\s*$/.exec(argv.join(' '));
  if (match === null) return [];
  return [warning(`${workload}: the container ends by itself after "sleep ${match[1]}"`, 'Write: command: [sleep, infinity].')];
}

/** `ray start` as `ray up` runs it ends at once and leaves Ray behind: as a process it would be taken for dead, and purged. */
function goesToBackground(where: string, text: string): readonly Finding[] {
  const commands = text.replaceAll(/\\\n/g, ' ').split(/[;&|\n]+/);
  if (!commands.some((command) => /^\s*(?:\S*=\S*\s+|exec\s+)*\S*\bray\s+start\b/.test(command) && !/\s--block\b/.test(command))) return [];
  return [warning(`${where}: "ray start" without --block ends at once, which counts as the end of the process`, 'Add --block.')];
}

/** `sleep 30` alone: it waits too long on a good day and not long enough on a bad one. */
function blindWait(where: string, text: string): readonly Finding[] {
  const seconds = /^\s*sleep\s+(\d+)s?\s*$/.exec(text)?.[1];
  return seconds === undefined
    ? []
    : [warning(`${where} only waits (sleep ${seconds})`, 'Replace it by a check or by verify: of the step that it waits for.')];
}

function suspicious(where: string, text: string): readonly Finding[] {
  const findings: Finding[] = [];
  if (/\|&?\s*tee\b/.test(text) && !/pipefail/.test(text)) {
    findings.push(
      warning(`${where} ends in "| tee", which hides its exit code`, 'Remove it: Relight keeps the output of every command itself.'),
    );
  }
  if (/\|\|\s*(true|:)(?=\s*($|[;&)\n]))/.test(text)) {
    findings.push(
      warning(`${where} has "|| true", so its failure is never seen`, 'Remove it, and mark a step that may fail with optional: true.'),
    );
  }
  if (/\b(docker|podman|nerdctl)\s+(exec|run)\s+(\S+\s+)*?(-[a-zA-Z]*t[a-zA-Z]*|--tty)(\s|$)/.test(text)) {
    findings.push(warning(`${where} asks for a terminal (-t), and there is none`, 'Remove -t.'));
  }
  return findings;
}

const shellWords = new Set(
  '! . : [ [[ { ( alias bg break case cd command continue declare do done echo eval exec exit export false fg fi for function if jobs kill let local printf pwd read readonly return set shift source test then time times trap true type ulimit umask unset until wait while'.split(
    ' ',
  ),
);

/** The program that a host command begins with, where that can be told; null where a shell decides. */
export function programOf(command: Command): string | null {
  const first = 'argv' in command ? command.argv[0] : splitShellWords(command.text.split(/[;&|\n<>()`]/)[0] ?? '')?.[0];
  if (first === undefined || !/^[\w./+-]+$/.test(first) || shellWords.has(first)) return null;
  return first;
}

export interface HostProgram {
  /** The field that needs it. */
  readonly where: string;
  readonly program: string;
  readonly optional: boolean;
}

export function hostPrograms(spec: AgentSpec): readonly HostProgram[] {
  const commands: readonly (readonly [string, Command, boolean])[] = [
    ...spec.vars.flatMap((variable) => ('run' in variable ? [[`vars.${variable.name}`, variable.run, false] as const] : [])),
    ...spec.host.setup.flatMap(({ name, run, verify, optional }) => [
      [`host.setup "${name}"`, run, optional] as const,
      ...(verify === null ? [] : [[`host.setup "${name}" verify`, verify, optional] as const]),
    ]),
  ];
  return commands.flatMap(([where, command, optional]) => {
    const program = programOf(command);
    return program === null ? [] : [{ where, program, optional }];
  });
}

/** Of the host, as `suspiciousCommands` for workloads. */
export const suspiciousHostCommands = (spec: AgentSpec): readonly Finding[] =>
  spec.host.setup.flatMap(({ name, run }) => suspicious(`host.setup "${name}"`, textOf(run)));
