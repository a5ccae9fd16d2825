/** What every command is given, and the few things they have in common. */
import type { Command } from 'commander';
import type { ApiClient } from './client.ts';
import type { ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import type { ViewContext } from './view/view-context.ts';

export interface Cli {
  readonly io: Io;
  /** Reads flags and environment; fails with usage. */
  client(): ApiClient;
  /** What the process will exit with; 0 unless a command says otherwise. */
  exitWith(code: ExitCode): void;
}

export type AddCommand = (program: Command, cli: Cli) => void;

export function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}\n`).join('')}`;
}

export const jsonDocument = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

export function viewContext(io: Io): ViewContext {
  return { color: io.color, columns: io.columns, now: io.clock.now() };
}
