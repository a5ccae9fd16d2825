/**
 * How serious a line calls itself. Read off the forms that logging libraries write, near the beginning of the line; null when it
 * does not say, or says it in a way that could mean something else. A false level hides lines, so doubt is null.
 */
import { levelBehindNames } from './level-behind-names.ts';

export const logLevels = ['debug', 'info', 'warning', 'error', 'critical'] as const;
export type LogLevel = (typeof logLevels)[number];

export const levelRank = (level: LogLevel): number => logLevels.indexOf(level);

/** Words of Python, log4j, syslog, Rust, Go and what pretends to be one of them. */
const words: Readonly<Record<string, LogLevel>> = {
  trace: 'debug',
  debug: 'debug',
  verbose: 'debug',
  info: 'info',
  information: 'info',
  notice: 'info',
  warn: 'warning',
  warning: 'warning',
  err: 'error',
  error: 'error',
  severe: 'error',
  crit: 'critical',
  critical: 'critical',
  fatal: 'critical',
  panic: 'critical',
  alert: 'critical',
  emerg: 'critical',
  emergency: 'critical',
};
/** First letters of glog, absl and Ray: the words that they stand for. */
const letters: Readonly<Record<string, LogLevel>> = {
  V: 'debug',
  D: 'debug',
  I: 'info',
  W: 'warning',
  E: 'error',
  F: 'critical',
  C: 'critical',
};

/** A level stands near the beginning of a line; JSON may say it at the end. */
const headLength = 256;
const jsonLength = 16 * 1024;

const alternatives = Object.keys(words).join('|');
const capitals = alternatives.toUpperCase();
const capitalised = alternatives.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase());

const json = new RegExp(String.raw`"(?:level|severity|lvl|levelname|log_level|loglevel|log\.level)"\s*:\s*"(${alternatives})"`, 'i');
const logfmt = new RegExp(String.raw`(?:^|\s)(?:level|lvl|severity|loglevel)=["']?(${alternatives})["']?(?=\s|$|,)`, 'i');
/** `I0131 12:00:00.000000`, with or without a year; the letter behind TensorFlow's time; Ray's letter between time and process. */
const letterForms = [
  /^([IWEF])(?:\d{4})?\d{4} \d\d:\d\d:\d\d/,
  /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: ([IWEF]) /,
  /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ ([DIWEFC]) \d+ \d+\]/,
];
const syslog = /^<(\d{1,3})>/;
/** What may stand in front of the word: times, numbers, brackets. */
const decoration = String.raw`[\d\s.,:;|/+TZ(){}\[\]<>*=-]*`;
const atFront = new RegExp(String.raw`^${decoration}(${capitals})(?=[\s:,|\])>-]|$)`);
const bracketed = new RegExp(String.raw`^${decoration}[\[<(](?:[\w.-]+:)?(${alternatives}|${capitalised})[\])>]`);
const withColon = new RegExp(String.raw`^${decoration}(${alternatives}|${capitalised}): `);
const behindNames = levelBehindNames(capitals);
const nccl = /^\S+:\d+:\d+ \[\d+\] (?:\d+(?:\.\d+)? )?NCCL (INFO|WARN|ERROR)\b/;
const python = /^Traceback \(most recent call last\):/;
const crash = /^(?:panic: |fatal error: |\*\*\* SIG|Fatal Python error: )/;
const uncaught = /^(?:Exception in thread "|thread '[^']*' (?:\(\d+\) )?panicked at )/;

/** What Ray and Docker Compose put in front of other people's lines, and colours. */
// oxlint-disable-next-line eslint/no-control-regex -- colours begin with ESC.
const colours = /\u001b\[[\d;:]*m/g;
const speaker = /^\([A-Za-z_][^()]*\) /;

/** The line without colours and without the name of the process that Ray puts in front. */
export function plainText(line: string): string {
  const plain = line.includes('\u001b') ? line.replace(colours, '') : line;
  return plain.startsWith('(') ? plain.replace(speaker, '') : plain;
}

export function detectLevel(line: string): LogLevel | null {
  const text = plainText(line.length > jsonLength ? line.slice(0, jsonLength) : line);
  if (text.startsWith('{')) return wordOf(json.exec(text));
  const head = text.length > headLength ? text.slice(0, headLength) : text;
  for (const form of letterForms) {
    const letter = form.exec(head)?.[1];
    if (letter !== undefined) return letters[letter] ?? null;
  }
  const priority = syslog.exec(head)?.[1];
  if (priority !== undefined && Number(priority) < 192) return syslogLevel(Number(priority) & 7);
  const said =
    atFront.exec(head) ?? bracketed.exec(head) ?? withColon.exec(head) ?? behindNames(head) ?? nccl.exec(head) ?? logfmt.exec(head);
  if (said !== null) return wordOf(said);
  if (python.test(head) || uncaught.test(head)) return 'error';
  return crash.test(head) ? 'critical' : null;
}

const wordOf = (found: RegExpExecArray | null): LogLevel | null => words[found?.[1]?.toLowerCase() ?? ''] ?? null;

/** RFC 5424, 6.2.1. */
function syslogLevel(severity: number): LogLevel {
  if (severity <= 2) return 'critical';
  return (['error', 'warning', 'info', 'info', 'debug'] as const)[severity - 3] ?? 'debug';
}
