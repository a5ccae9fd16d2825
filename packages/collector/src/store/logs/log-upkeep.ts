/** What the writing thread does to the log files beside committing: each call is alone, outside of any group. */
import { pruneDamaged, pruneLogSlice, pruneMarks, type KnownFiles, type LogLimits } from './log-retention.ts';
import type { LogWriter } from './log-writer.ts';

export type LogUpkeep = ReturnType<typeof logUpkeep>;

export const upkeepNames = ['pruneLogs', 'pruneLogMarks'] as const satisfies readonly (keyof LogUpkeep)[];

export function logUpkeep(directory: string, writer: LogWriter) {
  const known: KnownFiles = new Map();
  return {
    /** One slice; how many pieces went. */
    pruneLogs: (limits: LogLimits): number => pruneLogSlice(directory, writer.current, limits, known),
    pruneLogMarks(limits: LogLimits & { readonly eventsBefore: number }): void {
      if (writer.current !== null) pruneMarks(directory, writer.current, Math.min(limits.logsBefore, limits.eventsBefore));
      pruneDamaged(directory, limits.logsBefore);
    },
  };
}
