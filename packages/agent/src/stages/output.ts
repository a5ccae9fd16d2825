/** What a command said, for messages: short, one line, the end of it. */
import type { RunExit } from './runs.ts';

export const tailBytes = 4_096;

export function lastLine(text: string): string {
  return lastLines(text, 1);
}

/** The last lines that say something, joined for one line of text. */
export function lastLines(text: string, count: number): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return atWord(lines.slice(-count).join(' | '));
}

const lengthMax = 600;

/** The end of it, from a whole word on: secrets are taken out afterwards, and half of one would not be known as any. */
function atWord(text: string): string {
  if (text.length <= lengthMax) return text;
  const end = text.slice(-lengthMax - 1);
  const space = end.search(/\s/);
  return space === -1 ? '…' : end.slice(space + 1);
}

/** The last 200 lines that say something, oldest first. */
export function splitLines(text: string): readonly string[] {
  return text
    .split(/\r?\n|\r/)
    .filter((line) => line.trim() !== '')
    .slice(-200);
}

/** `exit code 3`, `killed by SIGTERM`. Without a status nobody knows which: on a full disk the wrapper's last word is lost as well. */
export function describeExit({ exitCode, signal }: RunExit): string {
  if (exitCode === null) return 'ended without a status: killed, or no space left to write it';
  return signal === null ? `exit code ${exitCode}` : `killed by ${signal}`;
}

export const withOutput = (what: string, output: string): string => (output === '' ? what : `${what}: ${output}`);
