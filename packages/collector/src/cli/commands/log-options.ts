/** What the commands that show logs have in common: which lines are wanted, and how they are asked for. */
import { InvalidArgumentError, type Command } from 'commander';
import { RelightError } from '@relight/shared/errors';
import { mistakenSource } from '../../logs/asked-source.ts';
import { logLevels, type LogLevel } from '../../logs/level.ts';
import { isWord } from '../../logs/words.ts';
import { choice, count, grep, selectors, type Target } from '../arguments.ts';
import type { Query } from '../client.ts';

export interface SelectionOptions {
  readonly host?: string;
  readonly workload?: string;
  readonly label?: string;
  readonly source?: string;
  readonly grep?: string;
  readonly level?: LogLevel;
  readonly previous?: true;
}

export function addSelection(command: Command): Command {
  return command
    .option('--host <name>', 'only this host')
    .option('--workload <name>', 'only this workload')
    .option('--label <selector>', 'only hosts with these labels, like pool=v5e,zone!=us-west4-a (repeatable)', selectors)
    .option('--source <source>', 'only this source: container, process, setup, mount, agent or file:NAME', source)
    .option('--grep <regexp>', 'only lines that match (RE2 syntax)', grep)
    .option('--level <level>', `only lines that say that they are at least so serious: ${logLevels.join(', ')}`, choice(logLevels));
}

export function selectionQuery(subject: Target | undefined, options: SelectionOptions): Query {
  if (subject !== undefined && (options.host !== undefined || options.workload !== undefined)) {
    throw new RelightError('usage', 'give either HOST/WORKLOAD or --host and --workload, not both');
  }
  return {
    host: subject?.host ?? options.host,
    workload: subject?.workload ?? options.workload,
    label: options.label,
    source: options.source,
    grep: options.grep,
    level: options.level,
    previous: options.previous,
  };
}

export interface ContextOptions {
  readonly afterContext?: number;
  readonly beforeContext?: number;
  readonly context?: number;
  readonly multiline?: true;
}

export function addContext(command: Command): Command {
  return command
    .option('-A, --after-context <lines>', 'with so many lines of the same stream behind each that matches', contextLines)
    .option('-B, --before-context <lines>', 'with so many in front of it', contextLines)
    .option('-C, --context <lines>', 'with so many on both sides', contextLines)
    .option('--multiline', 'tracebacks and other lines that belong together are shown whole, and looked into as one');
}

export function contextQuery({ afterContext, beforeContext, context, multiline }: ContextOptions): Query {
  return { linesBefore: beforeContext ?? context, linesAfter: afterContext ?? context, multiline };
}

export const wantsContext = ({ afterContext = 0, beforeContext = 0, context = 0 }: ContextOptions): boolean =>
  Math.max(afterContext, beforeContext, context) > 0;

const contextMax = 100;

function contextLines(text: string): number {
  const lines = count(text);
  if (lines > contextMax) throw new InvalidArgumentError(`At most ${contextMax}.`);
  return lines;
}

/** Whole words, repeatable. */
export function word(text: string, before: readonly string[] = []): readonly string[] {
  if (!isWord(text)) throw new InvalidArgumentError('Expected a word.');
  return [...before, text];
}

function source(text: string): string {
  const mistake = mistakenSource(text);
  if (mistake === null) return text;
  throw new InvalidArgumentError(`It is no source of lines: ${mistake}.`);
}
