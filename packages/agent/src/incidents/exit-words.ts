/** Pure: how something ended, in words. */
import type { TimelineEntry } from '@relight/shared/incident';
import { numberOf, textOf } from './timeline.ts';

/** Exit codes above 128 are signals, by the shell's and the engine's convention (128 + number). */
const signalNames: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  4: 'SIGILL',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  13: 'SIGPIPE',
  15: 'SIGTERM',
};

/** The signal that ended it, if one did. Killed with its watcher, a process has no exit code. */
export function endedBy({ kind, data }: Pick<TimelineEntry, 'kind' | 'data'>): string | null {
  if (kind !== 'container.died' && kind !== 'process.exited') return null;
  const code = numberOf(data, 'exitCode');
  if (code === null) return textOf(data, 'signal') ?? (kind === 'process.exited' ? 'SIGKILL' : null);
  return textOf(data, 'signal') ?? (code > 128 ? (signalNames[code - 128] ?? `signal ${code - 128}`) : null);
}

export function containerExit(data: TimelineEntry['data']): string {
  const code = numberOf(data, 'exitCode');
  const error = textOf(data, 'error');
  if (error !== null) return `the container ended: ${error}`;
  if (code === null) return 'the container ended, with an exit code that the engine does not know';
  if (code === 0) return 'the command of the container ended by itself (exit code 0)';
  const signal = signalNames[code - 128];
  if (signal === 'SIGKILL')
    return 'the main process of the container was killed with SIGKILL from outside (exit code 137); neither the kernel nor the engine tells of a want of memory';
  if (signal === 'SIGTERM') return 'the container was asked to end with SIGTERM (exit code 143)';
  if (signal !== undefined) return `the main process of the container crashed with ${signal} (exit code ${code})`;
  return `the command of the container failed with exit code ${code}`;
}

export function processExit(data: TimelineEntry['data']): string {
  const code = numberOf(data, 'exitCode');
  const signal = textOf(data, 'signal') ?? (code === null ? null : (signalNames[code - 128] ?? null));
  const exit = code === null ? '' : ` (exit code ${code})`;
  if (signal === 'SIGKILL') return `the process was killed with SIGKILL from outside${exit}; the kernel tells of no want of memory`;
  if (signal === 'SIGTERM' || signal === 'SIGINT' || signal === 'SIGHUP') return `somebody asked the process to end with ${signal}${exit}`;
  if (signal !== null) return `the process crashed with ${signal}${exit}`;
  if (code === null) return 'the process was killed together with its watcher, so its exit code is not known';
  if (code === 0) return 'the process ended by itself with exit code 0, and nobody asked it to';
  return `the process failed with exit code ${code}`;
}

/** What it said last, where the agent has found it telling. */
export function lastWords(first: TimelineEntry, near: readonly TimelineEntry[]): string {
  const words =
    textOf(first.data, 'lastLine') ??
    textOf(near.find(({ at, data }) => at >= first.at && textOf(data, 'lastLine') !== null)?.data ?? {}, 'lastLine');
  return words === null ? '' : `; its last words: ${words.slice(0, 200)}`;
}

export function consequence(near: readonly TimelineEntry[]): string {
  const lost = near.find(({ kind }) => kind === 'mount.lost' || kind === 'mount.hung');
  const ended = near.find(
    ({ kind, data }) => (kind === 'container.died' || kind === 'process.exited') && numberOf(data, 'exitCode') !== null,
  );
  const mountDied = lost === undefined ? '' : `; the mount ${textOf(lost.data, 'mount') ?? ''} died with it`;
  return `${mountDied}${ended === undefined ? '' : `; exit code ${String(numberOf(ended.data, 'exitCode'))}`}`;
}
