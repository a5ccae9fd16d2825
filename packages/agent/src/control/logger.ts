/**
 * The agent's own log: one JSON object a line on stdout, for journald (with its priority) and log collectors; one short line for
 * a person when stdout is a terminal. Never blocks the agent: lines that nobody reads are dropped once a bounded buffer is full, and a
 * reader that goes away (EPIPE) ends the log, not the agent.
 */
import { isJournal, journalLine } from '@relight/shared/journal';
import { type DestinationStream, destination, type Logger, multistream, pino } from 'pino';
import type { LogLevel } from './log-level.ts';

/** Of lines not yet taken by the reader of stdout. */
const bufferBytesMax = 1024 * 1024;

interface LoggerOptions {
  readonly level: LogLevel;
  readonly terminal: boolean;
  readonly version: string;
  /** Is given every line from `info` on, as JSON, besides. */
  readonly copy?: DestinationStream;
}

export function createLogger(options: LoggerOptions): Logger {
  const stdout = destination({ dest: 1, sync: false, maxLength: bufferBytesMax });
  const base = {
    level: options.level,
    base: options.terminal ? null : { version: options.version },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: levelName },
  };
  const pretty: DestinationStream = { write: (line) => void stdout.write(prettyLine(line)) };
  const journal: DestinationStream = { write: (line) => void stdout.write(journalLine(line)) };
  const printed = options.terminal ? pretty : isJournal(1, process.env) ? journal : stdout;
  if (options.copy === undefined) return pino(base, printed);
  const copy = { level: 'info' as const, stream: options.copy };
  return pino(base, multistream([{ level: options.level, stream: printed }, copy]));
}

const levelName = (level: string): { level: string } => ({ level });

/** `12:00:00.123 WARN  message  key=value …`: a stack stands below, indented. */
export function prettyLine(json: string): string {
  const { time, level, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const error = err as { message?: string; stack?: string } | undefined;
  const values = Object.entries(fields).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const first = [
    String(time).slice(11, 23),
    String(level).toUpperCase().padEnd(5),
    oneLine([msg, error?.message].filter((part) => typeof part === 'string').join(': ')),
    ...values.map(oneLine),
  ].join(' ');
  const stack = (error?.stack ?? '').split('\n').slice(1);
  return `${[first, ...stack].join('\n')}\n`;
}

const oneLine = (text: string): string => text.replaceAll(/\p{Cc}+/gu, ' ');
