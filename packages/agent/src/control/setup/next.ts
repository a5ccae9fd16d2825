/** What to do next, as commands to copy. Pure. */
import { displayWidth, fold } from '@relight/shared/text-columns';
import type { Choice } from './choices.ts';
import { restartLine, startLine } from './service.ts';

export interface Situation {
  readonly file: string;
  /** The file that the unit reads. */
  readonly isServiceFile: boolean;
  readonly service: 'none' | 'stopped' | 'running';
  readonly chosen: readonly Choice[];
  /** Containers that run and that Relight has not made, by name. */
  readonly running: ReadonlySet<string>;
  /** Containers that run and that Relight has made: name, and workload. */
  readonly ours: readonly { readonly name: string; readonly workload: string }[];
  readonly hasCollector: boolean;
  readonly joinedNow: boolean;
  readonly checkFailed: boolean;
}

/** What starts the agent with its new configuration. Null: it runs and reads the file by itself, or there is no unit for it. */
export function startCommand({ isServiceFile, service, joinedNow }: Situation): readonly [string, ...string[]] | null {
  if (!isServiceFile || service === 'none') return null;
  if (service === 'stopped') return startLine;
  return joinedNow ? restartLine : null;
}

/** One line each: what, and the command. */
export function nextSteps(situation: Situation, started: boolean): readonly string[] {
  const { file, service, isServiceFile, chosen, running, ours, hasCollector, checkFailed } = situation;
  const inTheWay = [
    ...new Set(
      chosen.flatMap((choice) =>
        choice.kind === 'describe'
          ? [choice.name]
          : choice.kind === 'ray' && running.has(choice.containerName)
            ? [choice.containerName]
            : [],
      ),
    ),
  ];
  const unwatched = ours.filter(({ name }) => !chosen.some((choice) => choice.kind === 'ray' && choice.containerName === name));
  const start = startCommand(situation);
  const reads = service === 'running' && isServiceFile;
  return [
    ...(checkFailed ? [`correct what check calls an error, and look again: relight-agent check --config ${file}`] : []),
    ...(chosen.length === 0 ? [`add a workload to ${file}: relight-agent import --help, relight-agent setup --force`] : []),
    ...unwatched.map(
      ({ name, workload }) =>
        `put the workload ${workload} back into ${file} as it was, and its container ${name} is taken over as it runs; without a copy of that file, have it written down (relight-agent import container ${name}; not its process, mounts and setup), and removed: docker rm -f ${name}`,
    ),
    ...(chosen.length > 0 ? [`see what would be done: relight-agent plan --config ${file}`] : []),
    ...inTheWay.map((name) => `remove the container that runs, so that Relight can make it: docker rm -f ${name}`),
    ...(started || (reads && start === null)
      ? ['see what the agent does: relight-agent status']
      : [`start the agent: ${start === null ? `relight-agent run --config ${file}` : start.join(' ')}`]),
    ...(hasCollector ? [] : ['with a collector, join it: relight-agent join URL JOIN_TOKEN --fingerprint SHA256']),
  ];
}

/** On a terminal that has no room for all of it, the command has a line of its own: one that is broken cannot be copied. */
export function stepText(step: string, columns: number | null): string {
  const line = `  - ${step}`;
  const at = line.lastIndexOf(': ');
  if (at === -1 || columns === null || displayWidth(line) <= columns) return fold(line, columns);
  return `${fold(line.slice(0, at + 1), columns)}\n      ${line.slice(at + 2)}`;
}
