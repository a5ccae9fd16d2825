/**
 * What `log-writer` has issued, and the judgement over what has become of it. A life is one process of the writer; its lines are numbered
 * from 1, and their text follows from life and number. What write(2) has taken must arrive: once, unchanged, in order.
 */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiLogEntry, ApiLogGap, ApiLogLine } from '@relight/shared/api';
import { waitFor } from './wait.ts';

const alphabet = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .';

/** Kept in step with log-writer.c. */
function payloadOf(life: number, n: number): string {
  let state = (life ^ Math.imul(n, 0x9e3779b1) ^ 0) | 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  next();
  const kind = next() & 1023;
  const length = kind === 0 ? 17_000 + (next() & 16_383) : kind < 64 ? 200 + (next() & 1023) : 20 + (next() & 127);
  let text = '';
  for (let index = 0; index < length; index += 1) text += alphabet[next() & 63];
  return text;
}

const textOf = (source: string, life: string, n: number): string => `${source} ${life} ${n} ${payloadOf(Number.parseInt(life, 16), n)}`;

export interface Life {
  readonly source: string;
  /** Eight hexadecimal digits. */
  readonly life: string;
  /** The last line that it has begun to write. */
  readonly begun: number;
  /** The last line that write(2) has taken as a whole. */
  readonly written: number;
  /** Epoch milliseconds. */
  readonly startedAt: number;
}

/** The directory that the writers keep their counters in. */
export class Ledger {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  lives(): Life[] {
    return readdirSync(this.directory).flatMap((name) => {
      const [source = '', life] = name.split('.');
      const path = join(this.directory, name);
      const counters = readFileSync(path);
      // A writer that has only just made its file.
      if (life === undefined || counters.length < 16) return [];
      const startedAt = statSync(path).birthtimeMs;
      return [{ source, life, begun: Number(counters.readBigUInt64LE(0)), written: Number(counters.readBigUInt64LE(8)), startedAt }];
    });
  }

  /** Every writer ends its row of lines; resolves when the last one has. */
  async stop(): Promise<void> {
    writeFileSync(join(this.directory, 'stop'), '');
    await this.#quiet();
  }

  /** Every writer ends the lines it is at, and waits for `resume`; resolves when the last one does. */
  async pause(): Promise<void> {
    writeFileSync(join(this.directory, 'pause'), '');
    await this.#quiet();
  }

  resume(): void {
    rmSync(join(this.directory, 'pause'), { force: true });
  }

  async #quiet(): Promise<void> {
    let before = '';
    await waitFor(
      () => {
        const now = JSON.stringify(this.lives());
        const same = now === before;
        before = now;
        return same;
      },
      { everyMs: 1_000, what: 'the writers to end' },
    );
  }
}

interface Arrived {
  /** The last line that has arrived in order, or that a gap has told of. */
  lines: number;
  /** Bytes of the line after it, without its end: its writer was killed in the middle, or the rest is in a gap. */
  torn: number;
}

/** Gaps in a stream, until a line behind them says what is missing. */
interface OpenGaps {
  readonly gaps: ApiLogGap[];
  /** The end of a line that began in them. */
  rest: string | null;
}

/** Lines [from, to) of a life, but for the first bytes of the first. */
interface Missing {
  readonly source: string;
  readonly life: string;
  readonly from: number;
  readonly to: number;
  readonly torn: number;
}

/** Takes what readers get, entry by entry, over any number of pages. A line may be missing only where a gap has told of it. */
export class LedgerJudge {
  readonly gaps: ApiLogGap[] = [];
  /** Lines that are not there, and gaps have told of. */
  missed = 0;
  /** What is not as it was issued; each is one defect. */
  readonly wrong: string[] = [];
  readonly #arrived = new Map<string, Arrived>();
  readonly #open = new Map<string, OpenGaps>();

  /** For a comparison: how far every life has come, and what is missing of it. */
  get account(): Readonly<Record<string, unknown>> {
    const gaps = this.gaps
      .map(({ gap, ...of }) => `${of.source} ${of.generation} ${of.run} ${gap.from}-${gap.to} ${gap.reason}`)
      .toSorted();
    return { lives: Object.fromEntries([...this.#arrived].toSorted(([a], [b]) => (a < b ? -1 : 1))), missed: this.missed, gaps };
  }

  /** The last line of this life that has arrived. */
  arrived(life: string): number {
    return this.#arrived.get(life)?.lines ?? 0;
  }

  take(entries: readonly ApiLogEntry[]): void {
    for (const entry of entries) {
      const stream = `${entry.source}, generation ${entry.generation}, run ${entry.run}`;
      if ('gap' in entry) {
        this.gaps.push(entry);
        const open = this.#open.get(stream) ?? { gaps: [], rest: null };
        open.gaps.push(entry);
        this.#open.set(stream, open);
      } else this.#line(stream, entry);
    }
  }

  /** Lives of which written lines have not arrived, except those that may lack so many bytes at their end. */
  missing(lives: readonly Life[], mayLackBytes: (life: Life, arrived: number) => number): string[] {
    return lives.flatMap((life) => {
      const arrived = this.arrived(life.life);
      let lacking = 0;
      for (let n = arrived + 1; n <= life.written; n += 1) lacking += payloadOf(Number.parseInt(life.life, 16), n).length + 32;
      return lacking <= mayLackBytes(life, arrived) ? [] : [`${name(life)}: ${life.written} lines were written, ${arrived} have arrived`];
    });
  }

  /** Lines that nobody can have written, of counters read after the lines. */
  invented(lives: readonly Life[]): string[] {
    const begun = new Map(lives.map((life) => [life.life, life.begun]));
    return [...this.#arrived].flatMap(([life, { lines }]) =>
      lines <= (begun.get(life) ?? 0) ? [] : [`${life}: ${lines} lines have arrived, only ${begun.get(life) ?? 0} were begun`],
    );
  }

  #line(stream: string, { source, line, truncated }: ApiLogLine): void {
    const [, named = '', life = '', digits = ''] = /^(\S+) ([0-9a-f]{8}) (\d+) /.exec(line) ?? [];
    const isNamed = life !== '' && named === source;
    const open = this.#open.get(stream);
    if (open !== undefined && !isNamed && open.rest === null) {
      open.rest = line;
      return;
    }
    const n = Number(digits);
    const of = this.#arrived.get(life) ?? { lines: 0, torn: 0 };
    if (open !== undefined && isNamed && n > of.lines) {
      this.#open.delete(stream);
      this.#missing(stream, { source, life, from: of.lines + 1, to: n, torn: of.torn }, open);
      [of.lines, of.torn] = [n - 1, 0];
    }
    const expected = textOf(source, life, n);
    if (!isNamed) this.#tornOrWrong(source, line);
    else if (of.torn > 0) this.#say(`${source} ${life}: line ${n} after a torn one`);
    else if (n !== of.lines + 1) this.#say(`${source} ${life}: line ${n} after line ${of.lines}`);
    else if (line === expected && truncated !== true) this.#arrived.set(life, { lines: n, torn: 0 });
    else if (expected.startsWith(line)) this.#arrived.set(life, { lines: of.lines, torn: line.length });
    else this.#say(`${source} ${life}: line ${n} has come changed: "${excerpt(line)}" instead of "${excerpt(expected)}"`);
  }

  /** A gap in what a run or a container wrote to a file must say how many bytes those are; of a container's output it counts those of the engine's file. */
  #missing(stream: string, { source, life, from, to, torn }: Missing, { gaps, rest }: OpenGaps): void {
    let bytes = 0;
    for (let n = from; n < to; n += 1) bytes += textOf(source, life, n).length + 1;
    this.missed += to - from;
    const reasons = gaps.map(({ gap }) => gap.reason).join(', ');
    if (rest !== null && (to === from || !textOf(source, life, to - 1).endsWith(rest)))
      this.#say(`${stream}: "${excerpt(rest)}" behind a gap (${reasons}) is not the end of line ${to - 1}`);
    const told = gaps.reduce((sum, { gap }) => sum + (gap.bytes ?? Number.NaN), 0);
    const gone = bytes - torn - (rest === null ? 0 : rest.length + 1);
    // The engine's file has more bytes than what stands in it.
    if (source === 'container' ? !(told >= gone) : told !== gone)
      this.#say(`${stream}: ${gone} bytes are missing before line ${to}, and gaps (${reasons}) tell of ${told}`);
  }

  /** A killed writer may have got a few bytes of a line out: too few to say whose it is. */
  #tornOrWrong(source: string, line: string): void {
    const isBeginning = /^(?:[a-z:]{1,10}|[a-z:]{1,10} [0-9a-f]{0,8}|[a-z:]{1,10} [0-9a-f]{8} \d*)$/.test(line);
    if (!isBeginning) this.#say(`${source}: "${excerpt(line)}" was never written`);
  }

  #say(defect: string): void {
    if (this.wrong.length < 20) this.wrong.push(defect);
  }
}

const name = ({ life, source }: Life): string => `${source} ${life}`;
const excerpt = (line: string): string => (line.length <= 120 ? line : `${line.slice(0, 60)} … ${line.slice(-60)}`);
