/** Lines of many streams in one terminal: who wrote it, what is missing, and where a container or process began anew. */
import type { ApiLogEntry } from '@relight/shared/api';
import { gapText } from '../../logs/entry-text.ts';
import type { LogLevel } from '../../logs/level.ts';
import type { Colors } from './paint.ts';
import { sanitize } from './sanitize.ts';
import { clockTime } from './time-text.ts';

export interface LogViewOptions {
  readonly color: Colors;
  /** Show each line's time, by the operator's clock. */
  readonly timestamps: boolean;
  /** Pass other people's control sequences on to the terminal. */
  readonly raw: boolean;
  /** Show where a container or process began anew: only where the entries come in order. Default: true. */
  readonly markers?: boolean;
  /** Entries are shown with what stands around them: `--` where something of their stream was left out. */
  readonly context?: boolean;
  readonly now: () => number;
}

/** Text of one entry, with its line ends. Call it in the order in which the entries are to be read. */
export type LogView = (entry: ApiLogEntry) => string;

/** Sources in which a new run is a new start of the same thing. Each step of setup is a run of its own. */
const restartable: ReadonlySet<string> = new Set(['process', 'container']);

export function logView({ color, timestamps, raw, markers: marked = true, context = false, now }: LogViewOptions): LogView {
  const generations = new Map<string, number>();
  const runs = new Map<string, string>();
  let width = 0;
  let lastStream: string | null = null;

  /** As grep does between groups of lines that are not neighbours. */
  const separator = (entry: ApiLogEntry, stream: string): string => {
    const apart = lastStream !== null && (lastStream !== stream || ('apart' in entry && entry.apart));
    lastStream = stream;
    return context && apart ? `${color.dim('--')}\n` : '';
  };

  /** A line for each thing that began anew since the last entry of its kind. */
  const markers = (entry: ApiLogEntry, subject: string): string => {
    let text = '';
    const mark = (what: string): void => {
      text += `${color.bold(`--- ${subject}${what} ---`)}\n`;
    };
    const generation = generations.get(subject);
    if (generation !== undefined && entry.generation > generation) mark(`: container generation ${entry.generation}`);
    generations.set(subject, Math.max(generation ?? 0, entry.generation));
    if (!restartable.has(entry.source)) return text;
    const stream = `${subject} ${entry.source}`;
    const run = `${entry.generation}/${entry.run}`;
    const before = runs.get(stream);
    if (before !== undefined && before !== run && before.startsWith(`${entry.generation}/`)) mark(` ${entry.source}: started again`);
    runs.set(stream, run);
    return text;
  };

  return (entry) => {
    const subject = sanitize(`${entry.host}/${entry.workload}`);
    const name = `${subject} ${sanitize(entry.source)}`;
    width = Math.max(width, name.length);
    const isContext = 'context' in entry && entry.context;
    const prefix = `${streamColor(color, subject)(name.padEnd(width))} ${color.dim(isContext ? '-' : '|')} `;
    const before = separator(entry, `${name} ${entry.generation} ${entry.run}`) + (marked ? markers(entry, subject) : '');
    if ('gap' in entry) return `${before}${prefix}${color.yellow(`--- ${gapText(entry)} ---`)}\n`;
    const time = timestamps ? `${color.dim(`${clockTime(entry.at, now())}${entry.atApprox === true ? '~' : ' '}`)} ` : '';
    const paint = isContext ? color.dim : paintLevel(color, entry.level);
    const lines = entry.lines === undefined ? [entry.line] : entry.line.split('\n');
    const text = lines.map((line) => (raw ? line : paint(sanitize(line)))).join(`\n${' '.repeat(width)} ${color.dim('|')} `);
    const cut = entry.truncated === true ? color.yellow(' [cut]') : '';
    const part = entry.part === undefined ? '' : color.yellow(` [${entry.part} part of a long entry]`);
    return `${before}${prefix}${time}${text}${cut}${part}\n`;
  };
}

/** Only what needs somebody's eye, and what nobody needs. */
function paintLevel(color: Colors, level: LogLevel | undefined): (text: string) => string {
  switch (level) {
    case 'critical':
      return (text) => color.bold(color.red(text));
    case 'error':
      return color.red;
    case 'warning':
      return color.yellow;
    case 'debug':
      return color.dim;
    case 'info':
    case undefined:
      return String;
  }
}

/** The same stream has the same colour in every terminal and after every restart: FNV-1a of its name. */
function streamColor(color: Colors, name: string): (text: string) => string {
  const palette = [
    color.cyan,
    color.green,
    color.magenta,
    color.blue,
    color.yellow,
    color.cyanBright,
    color.greenBright,
    color.magentaBright,
    color.blueBright,
    color.yellowBright,
  ];
  let hash = 0x811c9dc5;
  for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return palette[hash % palette.length] ?? String;
}
