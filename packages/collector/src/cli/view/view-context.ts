/** What every view is told: colours, width, time. */
import { formatDurationMs } from '@relight/shared/units';
import type { Colors } from './paint.ts';

export interface ViewContext {
  readonly color: Colors;
  readonly columns: number | null;
  /** Wall time, milliseconds. */
  readonly now: number;
}

/** Clocks differ: what seems to lie in the future has just happened. */
export const elapsed = (since: string, now: number): string => formatDurationMs(Math.max(0, now - Date.parse(since)));
