/**
 * What `log-writer` has issued, and the judgement over what has become of it. A life is one process of the writer; its lines are numbered
 * from 1, and their text follows from life and number. What write(2) has taken must arrive: once, unchanged, in order.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiLogEntry, ApiLogGap } from '@relight/shared/api';
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
  /** The last line that has arrived in order. */
  lines: number;
  /** A beginning of the line after it, without its end: its writer was killed in the middle. */
  torn: boolean;
}

/** Takes what readers get, entry by entry, over any number of pages. */
export class LedgerJudge {
  readonly gaps: ApiLogGap[] = [];
  /** What is not as it was issued; each is one defect. */
  readonly wrong: string[] = [];
  readonly #arrived = new Map<string, Arrived>();

  /** The last line of this life that has arrived. */
  arrived(life: string): number {
    return this.#arrived.get(life)?.lines ?? 0;
  }

  take(entries: readonly ApiLogEntry[]): void {
    for (const entry of entries) {
      if ('gap' in entry) this.gaps.push(entry);
      else this.#line(entry.source, entry.line, entry.truncated === true);
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

  #line(source: string, line: string, truncated: boolean): void {
    const [, named = '', life = '', digits = ''] = /^(\S+) ([0-9a-f]{8}) (\d+) /.exec(line) ?? [];
    const of = this.#arrived.get(life) ?? { lines: 0, torn: false };
    const n = Number(digits);
    const expected = `${source} ${life} ${n} ${payloadOf(Number.parseInt(life, 16), n)}`;
    if (life === '' || named !== source) this.#tornOrWrong(source, line);
    else if (of.torn) this.#say(`${source} ${life}: line ${n} after a torn one`);
    else if (n !== of.lines + 1) this.#say(`${source} ${life}: line ${n} after line ${of.lines}`);
    else if (line === expected && !truncated) this.#arrived.set(life, { lines: n, torn: false });
    else if (expected.startsWith(line)) this.#arrived.set(life, { lines: of.lines, torn: true });
    else this.#say(`${source} ${life}: line ${n} has come changed: "${excerpt(line)}" instead of "${excerpt(expected)}"`);
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
