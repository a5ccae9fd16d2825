/** Lines that count themselves, and the judgement over what has become of them: each once, in order, or a counted gap. */
import type { ApiLogEntry, ApiLogGap } from '@relight/shared/api';
import type { FleetClient } from './fleet-client.ts';
import { waitFor } from './wait.ts';

interface CountingOptions {
  readonly perSecond: number;
  /** Path inside the container; as soon as it exists, `end N` is the last line. */
  readonly stopFile: string;
}

const batchesPerSecond = 20;

/** Shell text that prints `line 1`, `line 2` … and then sleeps for ever. About so many a second: the loop takes its time, too. */
export function countingScript({ perSecond, stopFile }: CountingOptions): string {
  const batch = Math.max(1, Math.round(perSecond / batchesPerSecond));
  const lines = `n=0; while [ $n -lt ${batch} ]; do n=$((n + 1)); i=$((i + 1)); echo "line $i"; done`;
  return `i=0; while [ ! -e ${stopFile} ]; do ${lines}; sleep ${0.75 / batchesPerSecond}; done; echo "end $i"; exec sleep 1000000`;
}

/** What is wrong with the numbered lines of one source; empty: every line once and in order, and each jump has its gap. */
export function judge(entries: readonly ApiLogEntry[]): { lines: number; gaps: ApiLogGap[]; wrong: string[] } {
  const gaps: ApiLogGap[] = [];
  const wrong: string[] = [];
  let last = 0;
  let lines = 0;
  let excused = false;
  for (const entry of entries) {
    if ('gap' in entry) {
      gaps.push(entry);
      excused = true;
      continue;
    }
    const [, word, digits] = /^(line|end) (\d+)$/.exec(entry.line) ?? [];
    const expected = word === 'end' ? last : last + 1;
    const number = Number(digits);
    if (word === undefined) wrong.push(`"${entry.line.slice(0, 100)}" was never written`);
    else if (number < expected || (number > expected && !excused)) wrong.push(`${entry.line} after line ${last}`);
    if (word === 'line') {
      lines += 1;
      last = number;
      excused = false;
    }
  }
  return { lines, gaps, wrong: wrong.slice(0, 20) };
}

/** Everything that is stored of one selection, over the pages of the API. */
export async function readAllPages(fleet: FleetClient, filter: Readonly<Record<string, string>>, limit = 10_000): Promise<ApiLogEntry[]> {
  const entries: ApiLogEntry[] = [];
  for (let after: string | undefined; ;) {
    const page = await fleet.logs({ ...filter, limit, after });
    entries.push(...page);
    const next = page.at(-1)?.next;
    if (next === undefined) return entries;
    after = next;
  }
}

/** Waits for the last line that `countingScript` prints, and says how many there were. */
export async function waitForEnd(fleet: FleetClient, filter: Readonly<Record<string, string>>, timeoutMs = 120_000): Promise<number> {
  const seen = await waitFor(
    async () => {
      const last = (await fleet.logs({ ...filter, tail: 1 })).at(-1);
      return last !== undefined && 'line' in last && /^end \d+$/.test(last.line) && last.line;
    },
    { timeoutMs, everyMs: 200, what: `the last line of ${JSON.stringify(filter)} to be stored` },
  );
  return Number(seen.slice('end '.length));
}
