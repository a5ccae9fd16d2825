/** Entries as text for people: one line each, with its time and where it comes from. Control characters are shown, never obeyed. */
import type { ApiLogEntry, ApiLogGap } from '@relight/shared/api';
import { sanitize } from '../cli/view/sanitize.ts';
import { damagedFileReason } from './damage-notices.ts';

export function entryText(entry: ApiLogEntry): string {
  const name = sanitize(`${entry.host}/${entry.workload} ${entry.source}`);
  if ('gap' in entry) return `${entry.receivedAt} ${name} | --- ${gapText(entry)} ---\n`;
  const cut = entry.truncated === true ? ' [cut]' : '';
  const part = entry.part === undefined ? '' : ` [${entry.part} part of a long entry]`;
  const [first = '', ...rest] = entry.lines === undefined ? [entry.line] : entry.line.split('\n');
  const more = rest.map((line) => `\n  ${sanitize(line)}`).join('');
  return `${entry.apart === true ? '--\n' : ''}${entry.at} ${name} | ${sanitize(first)}${more}${cut}${part}\n`;
}

/** What is missing and why, in words. */
export function gapText({ gap: { from, to, lines, bytes, reason }, run }: Pick<ApiLogGap, 'gap' | 'run'>): string {
  if (reason === damagedFileReason)
    return `gap: ${sanitize(run)} is damaged, a whole log file of the collector: what it held cannot be read`;
  const size = `${bytes ?? to - from} bytes`;
  if (reason === 'slow-reader') return `${lines ?? 0} lines skipped, ${size} (this terminal reads too slowly; they are stored)`;
  return `gap: ${lines === undefined ? '' : `${lines} lines, `}${size} (${sanitize(reason)})`;
}
