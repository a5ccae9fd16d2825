/** Reads what has arrived, goes on where it was, and waits for what a ledger promises. */
import type { ApiLogEntry } from '@relight/shared/api';
import type { FleetClient } from './fleet-client.ts';
import { LedgerJudge, type Ledger, type Life } from './log-ledger.ts';
import { waitFor } from './wait.ts';

const sources = ['container', 'process', 'setup', 'mount', 'file:lines'] as const;
const pageEntries = 5_000;
/** What may be on its way from a killed container to a file of an engine that is killed with it: a pipe, and the engine's buffers. */
const inFlightBytes = 64 * 1_024 + 3 * 16 * 1_024;

interface Place {
  after: string | undefined;
  /** Entries behind `after` that were taken already: a page says where to go on only when it is full, and runs beside each other come by time. */
  taken: Set<string>;
}

export class LedgerReader {
  readonly judge = new LedgerJudge();
  lines = 0;
  readonly #fleet: FleetClient;
  readonly #filter: Readonly<Record<string, string>>;
  readonly #ledger: Ledger;
  readonly #places = new Map<string, Place>(sources.map((source) => [source, { after: undefined, taken: new Set() }]));

  constructor(fleet: FleetClient, filter: Readonly<Record<string, string>>, ledger: Ledger) {
    [this.#fleet, this.#filter, this.#ledger] = [fleet, filter, ledger];
  }

  /** Until the newest writer of every source has come so far as it was on call, and all before it have come to their end. Returns how many lines there are. */
  async fresh(timeoutMs: number): Promise<number> {
    const wanted = this.#ledger.lives();
    await this.#until(wanted, mayLackBytes, 'a fresh line of every writer', timeoutMs);
    return this.lines;
  }

  /** Until everything has come; the writers have stopped. Of those that stopped by themselves, the newest, nothing may be lacking. */
  async whole(timeoutMs: number): Promise<void> {
    const lives = this.#ledger.lives();
    const stopped = new Set(sources.map((source) => newest(lives.filter((life) => life.source === source))));
    const lack: MayLack = (life, arrived) => (stopped.has(life) ? 0 : mayLackBytes(life, arrived));
    await this.#until(lives, lack, 'every line that was written', timeoutMs);
  }

  async #until(wanted: readonly Life[], mayLack: MayLack, what: string, timeoutMs: number): Promise<void> {
    let missing: string[] = [];
    try {
      await waitFor(
        async () => {
          await this.#read();
          this.judge.wrong.push(...this.judge.invented(this.#ledger.lives()));
          missing = this.judge.missing(wanted, mayLack);
          return missing.length === 0 || this.judge.wrong.length > 0;
        },
        { what, timeoutMs, everyMs: 100 },
      );
    } catch (error) {
      throw new Error(missing.join('\n'), { cause: error });
    }
  }

  /** Beside each other: the collector finds the next page of one while another one is judged. */
  async #read(): Promise<void> {
    await Promise.all(Array.from(this.#places, ([source, place]) => this.#readSource(source, place)));
  }

  async #readSource(source: string, place: Place): Promise<void> {
    for (let full = true; full;) {
      const page = await this.#fleet.logs({ ...this.#filter, source, limit: pageEntries, after: place.after });
      const next = page.at(-1)?.next;
      full = next !== undefined;
      const fresh = page.filter((entry) => !place.taken.delete(keyOf(entry)));
      if (!full && place.taken.size > 0)
        this.judge.wrong.push(`${source}: ${[...place.taken][0]} and ${place.taken.size - 1} more are there no more`);
      this.judge.take(fresh);
      this.lines += fresh.filter((entry) => 'line' in entry).length;
      // What a full page has left out of those is on the next one.
      if (!full) place.taken = new Set(page.map(keyOf));
      place.after = next ?? place.after;
    }
  }
}

const newest = (lives: readonly Life[]): Life | undefined => lives.toSorted((a, b) => a.startedAt - b.startedAt).at(-1);

const keyOf = (entry: ApiLogEntry): string =>
  `generation ${entry.generation}, run ${entry.run}, ${'gap' in entry ? `gap at ${entry.gap.from}` : `line at ${entry.offset}`}`;

/** A file inside a container is looked for once a second: of one that was gone before that, nothing comes. */
const unseenBytes = 64 * 1_024;

type MayLack = (life: Life, arrived: number) => number;
const mayLackBytes: MayLack = ({ source }, arrived) =>
  source === 'container' ? inFlightBytes : source.startsWith('file:') && arrived === 0 ? unseenBytes : 0;
