/** Takes everything out of lines that one of the patterns of `logs.redact` matches. */
import { Matcher, type Range } from './matcher.ts';

export const replacement = '[redacted]';
const replacementBytes = Buffer.from(replacement);

export class Redaction {
  readonly #matchers: readonly Matcher[];

  /** Throws PatternError. */
  constructor(patterns: readonly string[]) {
    this.#matchers = patterns.map((pattern) => new Matcher(pattern));
  }

  get isEmpty(): boolean {
    return this.#matchers.length === 0;
  }

  /** The same bytes, untouched, when nothing matches. Lines are taken by themselves. */
  bytes(bytes: Uint8Array): Uint8Array {
    if (this.isEmpty) return bytes;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const matchers = this.#matchers.filter((matcher) => matcher.mayMatch(text));
    if (matchers.length === 0) return bytes;
    const parts: Buffer[] = [];
    let kept = 0;
    for (let from = 0; from <= text.length;) {
      const newline = text.indexOf(10, from);
      const end = newline < 0 ? text.length : newline;
      const line = text.subarray(from, end);
      for (const [start, stop] of merged(matchers.flatMap((matcher) => matcher.ranges(line)))) {
        parts.push(text.subarray(kept, from + start), replacementBytes);
        kept = from + stop;
      }
      from = end + 1;
    }
    return parts.length === 0 ? bytes : Buffer.concat([...parts, text.subarray(kept)]);
  }

  text(text: string): string {
    if (this.isEmpty) return text;
    const before = Buffer.from(text);
    const after = this.bytes(before);
    return after === before ? text : Buffer.from(after).toString('utf8');
  }
}

/** What overlaps becomes one. */
function merged(ranges: readonly Range[]): readonly Range[] {
  if (ranges.length < 2) return ranges;
  const all: [from: number, to: number][] = [];
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = all.at(-1);
    if (last === undefined || from >= last[1]) all.push([from, to]);
    else last[1] = Math.max(last[1], to);
  }
  return all;
}
