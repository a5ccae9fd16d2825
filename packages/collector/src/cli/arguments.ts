/** What operators type, turned into what the API takes. All of it fails as wrong usage, before anything is sent. */
import { InvalidArgumentError } from 'commander';
import { isoTime } from '@relight/shared/api';
import { errorMessage } from '@relight/shared/errors';
import { eventKinds, severities } from '@relight/shared/event';
import { parseSelector } from '@relight/shared/selector';
import { suggest } from '@relight/shared/suggest';
import { parseDurationMs } from '@relight/shared/units';
import { compileGrep } from '../logs/grep.ts';

export function duration(text: string): string {
  const ms = parseDurationMs(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError('Expected a duration with a unit, like 30s, 10m or 2h.');
  return text;
}

export function durationMs(text: string): number {
  return parseDurationMs(duration(text)) ?? 0;
}

/** `10m` (ago), an ISO-8601 time, or a date → ISO-8601 UTC. */
export function timeBefore(now: number): (text: string) => string {
  return (text) => {
    const ago = parseDurationMs(text);
    if (ago !== undefined) return isoTime(now - ago);
    const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(at)) throw new InvalidArgumentError('Expected how long ago (10m) or a time (2026-01-31T12:00:00Z).');
    return isoTime(at);
  };
}

export function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a number.');
  return Number(text);
}

export function selector(text: string): string {
  if (text === '' || parseSelector(text) === undefined)
    throw new InvalidArgumentError('Expected a selector like pool=v5e,zone!=us-west4-a.');
  return text;
}

/** Selectors given one by one hold together. */
export function selectors(text: string, before: string | undefined): string {
  return before === undefined ? selector(text) : `${before},${selector(text)}`;
}

/** `k=v`, repeatable. */
export function label(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const match = /^([\w./-]+)=(.*)$/.exec(text);
  if (match?.[1] === undefined) throw new InvalidArgumentError('Expected KEY=VALUE.');
  return { ...before, [match[1]]: match[2] ?? '' };
}

/** As the collector will compile it. */
export function grep(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected an expression.');
  try {
    compileGrep(text);
  } catch (thrown) {
    throw new InvalidArgumentError(`${errorMessage(thrown)}.`);
  }
  return text;
}

/** Comma-separated, repeatable. */
export function oneOf<T extends string>(allowed: readonly T[]): (text: string, before?: readonly T[]) => readonly T[] {
  return (text, before = []) => {
    const chosen = text.split(',').map((word) => {
      const value = allowed.find((candidate) => candidate === word.trim());
      if (value === undefined) throw new InvalidArgumentError(`${nearest(word, allowed)}Allowed: ${allowed.join(', ')}.`);
      return value;
    });
    return [...before, ...chosen];
  };
}

export const kinds = oneOf(eventKinds);
export const severityList = oneOf(severities);

export function choice<T extends string>(allowed: readonly T[]): (text: string) => T {
  return (text) => {
    const value = allowed.find((candidate) => candidate === text);
    if (value === undefined) throw new InvalidArgumentError(`${nearest(text, allowed)}Allowed: ${allowed.join(', ')}.`);
    return value;
  };
}

function nearest(word: string, allowed: readonly string[]): string {
  const near = suggest(word.trim(), allowed);
  return near === undefined ? '' : `Did you mean ${near}? `;
}

export interface Target {
  readonly host: string;
  readonly workload: string | null;
}

/** `HOST` or `HOST/WORKLOAD`. */
export function target(text: string): Target {
  const [host = '', workload, ...more] = text.split('/');
  if (host === '' || workload === '' || more.length > 0) throw new InvalidArgumentError('Expected HOST or HOST/WORKLOAD.');
  return { host, workload: workload ?? null };
}
