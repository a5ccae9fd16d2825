/**
 * What the engine's logs API sends, as the entries of its json-file. Pure. Each message has its time ahead: `TIME text\n`. A long
 * line comes in parts of at least 16 KiB with one time, all but the last without a newline; from the driver `local` of Engine 20.10 the
 * last one as well. With a terminal messages follow one another without any frame, and only the times in front tell parts apart.
 * `journald` gives each part the time at which the journal had it, in Engine 20.10; but a line has its newline there, whatever its length.
 */
import { StringDecoder } from 'node:string_decoder';
import { FrameDemuxer } from '../../engine/demux.ts';

export interface Entry {
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339 in UTC with nine digits: sorts as it reads. */
  readonly time: string;
  /** Ends with a newline, or the next entry of the stream goes on with it. */
  readonly log: string;
}

type Stream = Entry['stream'];

const newline = 10;
/** As the engine cuts lines for its own json-file. Only a part that is not the last one is so long. */
const partBytes = 16 * 1024;
/** Of a terminal: what has no newline by then is passed on. */
const heldBytesMax = 1024 * 1024;
const timePattern = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})(Z|[+-]\d\d:\d\d) /;
const timeBytesMax = 36;

export class EngineLines {
  readonly #sink: (entry: Entry) => void;
  readonly #demuxer: FrameDemuxer | null;
  readonly #frames: Record<Stream, Buffer[]> = { stdout: [], stderr: [] };
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  /** Of the line whose last part has not come yet. */
  readonly #open: Record<Stream, string | null> = { stdout: null, stderr: null };
  /** Of a terminal. */
  #held: Buffer = Buffer.alloc(0);
  readonly #newlinesAreWhole: boolean;
  #second = '';
  #secondUtc = '';

  /** `driver`: the log driver, as the engine calls it. */
  constructor({ tty, driver }: { readonly tty: boolean; readonly driver: string }, sink: (entry: Entry) => void) {
    this.#sink = sink;
    this.#newlinesAreWhole = driver === 'journald';
    const add = (stream: Stream, payload: Buffer): void => void this.#frames[stream].push(payload);
    this.#demuxer = tty ? null : new FrameDemuxer(add, (stream) => this.#frame(stream));
  }

  /** Fails with engine-error when the bytes are not what the engine sends. */
  push(chunk: Buffer): void {
    if (this.#demuxer === null) this.#terminal(chunk);
    else this.#demuxer.push(chunk);
  }

  /** The stream is over: what has no newline is passed on. */
  end(): void {
    if (this.#held.length > 0) this.#unframed(this.#held);
    this.#held = Buffer.alloc(0);
  }

  #frame(stream: Stream): void {
    const parts = this.#frames[stream].splice(0);
    const message = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    const prefix = prefixOf(message);
    if (prefix !== null) this.#message(stream, prefix, message.subarray(prefix[0].length));
  }

  #terminal(chunk: Buffer): void {
    let held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (let end = held.indexOf(newline); end >= 0 || held.length >= heldBytesMax; end = held.indexOf(newline)) {
      const length = end < 0 ? held.length : end + 1;
      this.#unframed(held.subarray(0, length));
      held = held.subarray(length);
    }
    this.#held = Buffer.from(held);
  }

  /** One line of a terminal with the times in front of its parts, and what came before it without a newline. */
  #unframed(bytes: Buffer): void {
    const prefix = prefixOf(bytes);
    if (prefix === null) {
      // It goes on with a line that was too long to be held.
      const time = this.#open.stdout;
      if (time !== null) this.#text('stdout', time, bytes);
      return;
    }
    // Nobody else writes this very nanosecond in front of a text: it stands before each part of the line.
    const parts = split(bytes.subarray(prefix[0].length), Buffer.from(prefix[0]));
    if (this.#newlinesAreWhole) return this.#message('stdout', prefix, Buffer.concat(parts.map(withoutTimesOfParts)));
    const last = parts.at(-1) as Buffer;
    const next = parts.length > 1 ? timePattern.exec(last.toString('latin1')) : null;
    if (next === null) return this.#message('stdout', prefix, Buffer.concat(parts));
    parts[parts.length - 1] = last.subarray(0, next.index);
    this.#message('stdout', prefix, Buffer.concat([...parts, Buffer.of(newline)]));
    this.#unframed(last.subarray(next.index));
  }

  #message(stream: Stream, prefix: RegExpExecArray, text: Buffer): void {
    const time = this.#utc(prefix);
    if (this.#newlinesAreWhole) return this.#text(stream, time, text);
    const open = this.#open[stream];
    // The last part of that line was as long as a part may be.
    if (open !== null && open !== time) this.#text(stream, open, Buffer.of(newline));
    const isWhole = text.at(-1) === newline || text.length >= partBytes;
    this.#text(stream, time, isWhole ? text : Buffer.concat([text, Buffer.of(newline)]));
  }

  #text(stream: Stream, time: string, text: Buffer): void {
    for (let from = 0; from < text.length; from += partBytes) {
      const log = this.#decoders[stream].write(text.subarray(from, from + partBytes));
      if (log !== '') this.#sink({ stream, time, log });
    }
    this.#open[stream] = text.at(-1) === newline ? null : time;
  }

  #utc([, second = '', nanoseconds = '', zone = '']: RegExpExecArray): string {
    const key = second + zone;
    if (key !== this.#second) {
      this.#second = key;
      this.#secondUtc = new Date(Date.parse(key)).toISOString().slice(0, 19);
    }
    return `${this.#secondUtc}.${nanoseconds}Z`;
  }
}

function prefixOf(message: Buffer): RegExpExecArray | null {
  const found = timePattern.exec(message.toString('latin1', 0, timeBytesMax));
  return found?.index === 0 ? found : null;
}

/** Of journald with a terminal: each part has a time of its own ahead, and all but the last are as long as the engine cuts them. */
function withoutTimesOfParts(line: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let rest = line; ;) {
    const next = rest.length > partBytes ? prefixOf(rest.subarray(partBytes)) : null;
    parts.push(next === null ? rest : rest.subarray(0, partBytes));
    if (next === null) return Buffer.concat(parts);
    rest = rest.subarray(partBytes + next[0].length);
  }
}

function split(text: Buffer, separator: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let from = 0; ;) {
    const next = text.indexOf(separator, from);
    parts.push(text.subarray(from, next < 0 ? text.length : next));
    if (next < 0) return parts;
    from = next + separator.length;
  }
}
