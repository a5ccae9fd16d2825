/** What a preflight check found: one thing, and what a person does about it. */
import { wrap } from './text-columns.ts';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  readonly what: string;
  /** Empty for `ok`. */
  readonly fix: string;
}

export const ok = (what: string): Finding => ({ level: 'ok', what, fix: '' });
export const warning = (what: string, fix: string): Finding => ({ level: 'warning', what, fix });
export const error = (what: string, fix: string): Finding => ({ level: 'error', what, fix });

/** What a person is shown on a terminal of so many columns, or with `json` one document `{ok, findings}`. */
export function findingsText(findings: readonly Finding[], json: boolean, columns: number | null): string {
  const errors = findings.filter(({ level }) => level === 'error').length;
  const warnings = findings.filter(({ level }) => level === 'warning').length;
  if (json) return `${JSON.stringify({ ok: errors === 0, findings }, null, 2)}\n`;
  return `${[...findings.flatMap((finding) => lines(finding, columns ?? Infinity)), '', `${count(errors, 'error')}, ${count(warnings, 'warning')}`].join('\n')}\n`;
}

export const hasError = (findings: readonly Finding[]): boolean => findings.some(({ level }) => level === 'error');

const indent = ' '.repeat(8);
const lines = ({ level, what, fix }: Finding, columns: number): readonly string[] => [
  ...wrap(level.padEnd(indent.length) + what, columns, indent),
  ...(fix === '' ? [] : wrap(`${indent}→ ${fix}`, columns, `${indent}  `)),
];
const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;
