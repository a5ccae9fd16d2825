/**
 * Logs in the shapes that such hosts really have (Ray, vLLM, structured JSON, Python with its tracebacks, tqdm, Java, Go), from a
 * seed: the same seed gives the same bytes. Times, ids, durations and addresses differ from record to record; 130 to 150 bytes a
 * line on average. Some millions of lines a second, so that a hundred million of them can be made.
 *
 *   for (const { bytes, lines } of logShapes(7).chunks(1_000_000)) …
 *   logShapes(7, { kind: 'vllm' }).lines(3);
 */
import { LineWriter } from './log-shapes/line-writer.ts';
import { StreamSlots } from './log-shapes/slots.ts';
import { mixture, templates, type LogKind } from './log-shapes/templates.ts';

export const logKinds = Object.keys(templates) as LogKind[];

export interface LogShapeOptions {
  /** Default: all kinds, mixed record by record as a host with all of them would have it. A real stream has one kind. */
  readonly kind?: LogKind;
  /** Of the first record; milliseconds since 1970. Default 2026-11-22T08:00:00Z. */
  readonly startMs?: number;
  /** How fast the clock of the lines goes; default 1,000. */
  readonly recordsPerSecond?: number;
}

interface LogChunk {
  /** Whole lines, each with its newline. The buffer is the caller's own. */
  readonly bytes: Buffer;
  readonly lines: number;
}

export interface LogShapes {
  /** The next so many lines, without their newlines. */
  lines(count: number): string[];
  /** The next so many lines in chunks of at most `bytesPerChunk`, default 1 MiB. */
  chunks(lines: number, bytesPerChunk?: number): Generator<LogChunk>;
}

/** No record of any template comes near to it. */
const longestRecord = 4_096;
const newline = 0x0a;

type WriteRecord = (out: LineWriter) => number;

export function logShapes(seed: number, options: LogShapeOptions = {}): LogShapes {
  const { kind, startMs = Date.UTC(2026, 10, 22, 8), recordsPerSecond = 1_000 } = options;
  const out = new LineWriter(seed, startMs, 1_000_000 / recordsPerSecond);
  return new Shapes(out, compile(kind === undefined ? logKinds : [kind]));
}

class Shapes implements LogShapes {
  readonly #out: LineWriter;
  readonly #records: readonly WriteRecord[];
  /** Lines of a record that was longer than what was asked for. */
  #left: Buffer = Buffer.alloc(0);

  constructor(out: LineWriter, records: readonly WriteRecord[]) {
    this.#out = out;
    this.#records = records;
  }

  lines(count: number): string[] {
    const texts: string[] = [];
    for (const { bytes } of this.chunks(count)) texts.push(...bytes.toString('utf8', 0, bytes.length - 1).split('\n'));
    return texts;
  }

  *chunks(lines: number, bytesPerChunk = 1 << 20): Generator<LogChunk> {
    if (!Number.isInteger(lines)) throw new RangeError(`${lines} is no number of lines`);
    for (let rest = lines; rest > 0;) {
      const chunk = this.#chunk(rest, Math.max(bytesPerChunk, 2 * longestRecord));
      rest -= chunk.lines;
      yield chunk;
    }
  }

  #chunk(wanted: number, size: number): LogChunk {
    const out = this.#out;
    out.bytes = Buffer.allocUnsafe(size);
    out.at = this.#left.copy(out.bytes);
    let lines = countLines(this.#left);
    while (lines < wanted && out.room() > longestRecord) {
      out.tick();
      lines += (this.#records[out.below(this.#records.length)] as WriteRecord)(out);
    }
    let end = out.at;
    for (; lines > wanted; lines -= 1) end = out.bytes.lastIndexOf(newline, end - 2) + 1;
    this.#left = Buffer.from(out.bytes.subarray(end, out.at));
    return { bytes: out.bytes.subarray(0, end), lines };
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (const byte of bytes) if (byte === newline) lines += 1;
  return lines;
}

/** Each record as often as its weight says, so that one number chooses. */
function compile(kinds: readonly LogKind[]): WriteRecord[] {
  const slots = new StreamSlots();
  const share = 3_000;
  return kinds.flatMap((kind) => {
    const records = templates[kind];
    const weights = records.reduce((sum, [weight]) => sum + weight, 0);
    const ofKind = share * (kinds.length === 1 ? 1 : mixture[kind] / 100);
    return records.flatMap(([weight, text]) => {
      const write = compileRecord(text, slots);
      return Array.from({ length: Math.max(1, Math.round((ofKind * weight) / weights)) }, () => write);
    });
  });
}

function compileRecord(text: string, slots: StreamSlots): WriteRecord {
  const encoder = new TextEncoder();
  // JSON has braces, too: a slot has no quote right behind its brace.
  const parts = text.split(/\{([a-z][^{}"]*)\}/).map((part, index) => {
    if (index % 2 === 1) return slots.slot(part);
    const bytes = encoder.encode(part);
    return (out: LineWriter): void => out.text(bytes);
  });
  const lines = text.split('\n').length;
  return (out) => {
    for (const part of parts) part(out);
    out.byte(newline);
    return lines;
  };
}
