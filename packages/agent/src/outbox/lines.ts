/**
 * The form of an outbox file: one line each, `<crc32 of the rest, 8 hex digits> <JSON>\n`. The first line is the header, all
 * others are events. Pure.
 */
import { crc32 } from 'node:zlib';
import { agentEventSchema, type AgentEvent } from '@relight/shared/event';

export interface FileHeader {
  readonly epoch: string;
  /** The first sequence number that this file may hold: tells the next one when the file holds no event yet. */
  readonly firstSeq: number;
  /** Of earlier versions: the file holds all that stands in the files before it. */
  readonly begins?: boolean;
}

export interface ParsedFile {
  /** Null: not even the header is whole. */
  readonly header: FileHeader | null;
  readonly events: readonly AgentEvent[];
  /** Whole lines whose checksum or content is wrong. */
  readonly damagedLines: number;
  /** Bytes up to the end of the last whole line. What follows is the beginning of a line whose write was cut short. */
  readonly wholeBytes: number;
  readonly tornBytes: number;
}

export const encodeLine = (value: unknown): Buffer => encodeText(JSON.stringify(value));

export const encodeFile = (header: FileHeader, events: readonly AgentEvent[]): Buffer =>
  Buffer.concat([encodeLine(header), ...events.map(encodeLine)]);

export function encodeText(text: string): Buffer {
  const json = Buffer.from(text);
  return Buffer.concat([Buffer.from(`${crc32(json).toString(16).padStart(8, '0')} `), json, Buffer.from('\n')]);
}

/** The value of one line without its newline; undefined when it is damaged. */
export function decodeLine(line: Buffer): unknown {
  if (line.length < 10 || line[8] !== 0x20) return undefined;
  const json = line.subarray(9);
  if (Number.parseInt(line.toString('latin1', 0, 8), 16) !== crc32(json)) return undefined;
  try {
    return JSON.parse(json.toString('utf8')) as unknown;
  } catch {
    return undefined; // a checksum that fits by chance: as damaged as one that does not
  }
}

export function parseFile(bytes: Buffer): ParsedFile {
  let header: FileHeader | null = null;
  const events: AgentEvent[] = [];
  let damagedLines = 0;
  let position = 0;
  for (let index = 0; ; index += 1) {
    const end = bytes.indexOf(10, position);
    if (end < 0) break;
    const value = decodeLine(bytes.subarray(position, end));
    position = end + 1;
    if (index === 0) {
      header = asHeader(value);
      continue;
    }
    const event = agentEventSchema.safeParse(value);
    if (event.success && event.data.seq > (events.at(-1)?.seq ?? 0)) events.push(event.data);
    else damagedLines += 1;
  }
  return { header, events, damagedLines, wholeBytes: position, tornBytes: bytes.length - position };
}

function asHeader(value: unknown): FileHeader | null {
  const header = value as Partial<FileHeader> | null | undefined;
  return typeof header?.epoch === 'string' && Number.isSafeInteger(header.firstSeq) ? (header as FileHeader) : null;
}
