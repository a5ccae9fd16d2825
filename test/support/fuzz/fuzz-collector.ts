/** A collector under everything that can be sent to it, and what must be so during and after it. */
import { join } from 'node:path';
import { formatBytes } from '@relight/shared/units';
import { waitFor } from '../wait.ts';
import { attack, sumOf, type Source } from './campaign.ts';
import { startCollectorTarget, type CollectorTarget } from './collector-target.ts';
import { frameInput } from './frame-fuzz.ts';
import { FuzzAgents } from './fuzz-agents.ts';
import { expectNoGrowth, type Measure } from './growth.ts';
import { httpFuzz } from './http-fuzz.ts';
import { askHttp, HttpLine } from './http-line.ts';
import type { Held } from './memory-probe.ts';
import type { Randomness } from './randomness.ts';
import { rawInput } from './raw-fuzz.ts';
import { Watchers } from './watchers.ts';
import { WellBehaved, wellBehavedHost } from './well-behaved.ts';

export interface FuzzCollectorOptions {
  readonly directory: string;
  readonly secure: boolean;
  readonly random: Randomness;
  readonly inputs: number;
  readonly say: (line: string) => void;
}

const hosts = Array.from({ length: 6 }, (_, index) => `fuzz-${index}`);
/** Caches fill, code is compiled. */
const warmUpShare = 0.25;
/** At least four, and what is held is measured after each. */
const roundInputs = 75_000;
/** Of the heap, from the end of the warm-up on: what the audit log, alerts and windows of counting rightly hold more. */
const heapGrowthMax = 24 * 1024 ** 2;
const residentGrowthMax = 160 * 1024 ** 2;
const healthMs = 20_000;
/** Of the inputs, at the end: what only a reader can see through. */
const liesShare = 0.1;
/** What may be in the log: a line of a level, and no stack of something that nobody has caught. */
const uncaught =
  /UnhandledPromise|unhandledRejection|uncaughtException|Uncaught|MaxListenersExceeded|TimeoutOverflow|A defect of Relight|"code":"internal"/;

/** Resolves with how many inputs that were. @throws with what was wrong */
export async function fuzzCollector({ directory, secure, random, inputs, say }: FuzzCollectorOptions): Promise<number> {
  await using target = await startCollectorTarget(join(directory, secure ? 'tls' : 'plain'), secure, [...hosts, wellBehavedHost]);
  const http = await httpFuzz(target, 12);
  const good = new WellBehaved(target);
  const agents = new FuzzAgents(hosts);
  let [lies, done] = [false, 0];
  try {
    using watchers = await Watchers.open(target);
    const check = (): void => {
      if (target.service.pid === undefined) throw new Error(`the collector has ended; its last words:\n${target.service.logTail(40)}`);
    };
    const sources: readonly Source[] = [
      { name: 'requests', share: 0.4, lanes: 12, draw: (own) => http.input(own) },
      { name: 'frames', share: 0.52, lanes: 8, draw: (own) => frameInput(own, { target, hosts, agents, lies: () => lies }) },
      { name: 'bytes', share: 0.08, lanes: 16, draw: (own) => rawInput(own, target.endpoint) },
    ];
    const honest = inputs * (1 - liesShare);
    done += sumOf(await attack({ sources, random, check }, honest * warmUpShare));
    const before = await settled(target);
    say(`warm after ${Math.round(honest * warmUpShare)}: ${shown(before)}`);
    const rounds = Math.max(4, Math.round((honest * (1 - warmUpShare)) / roundInputs));
    const measures: Measure[] = [{ inputs: done, bytes: before.heapBytes }];
    for (let round = 1; round <= rounds; round += 1) {
      const counts = await attack({ sources, random, check }, (honest * (1 - warmUpShare)) / rounds);
      done += sumOf(counts);
      await expectHealth(target);
      watchers.check();
      const now = await settled(target);
      measures.push({ inputs: done, bytes: now.heapBytes });
      say(
        `round ${round}: ${Object.entries(counts)
          .map(([name, count]) => `${count} ${name}`)
          .join(', ')}; ${agents.check()}; ${shown(now)}`,
      );
    }
    const after = await settled(target);
    expectFlat(before, after);
    say(expectNoGrowth(measures));
    const verified = await target.verify();
    if (verified.code !== 0) throw new Error(`verify:\n${verified.stdout}${verified.stderr}`);
    lies = true;
    done += sumOf(await attack({ sources, random, check }, inputs * liesShare));
    await expectHealth(target);
    watchers.check();
    http.check();
    const arrived = await good.finish();
    if (watchers.bytes === 0) throw new Error('nobody was shown anything');
    expectQuietLog(target.log());
    say(`${arrived.lines} lines and ${arrived.events} events of the agent beside have arrived, each once`);
    return done;
  } finally {
    http.close();
  }
}

interface Settled extends Held {
  readonly descriptors: number;
}

/** When what has ended is taken away. */
async function settled(target: CollectorTarget): Promise<Settled> {
  let descriptors = Infinity;
  await waitFor(
    () => {
      const now = target.descriptors();
      const steady = now >= descriptors;
      descriptors = Math.min(descriptors, now);
      return steady;
    },
    { timeoutMs: 60_000, everyMs: 1_000, what: 'connections to be closed' },
  );
  return { ...(await target.held()), descriptors };
}

const shown = ({ residentBytes, heapBytes, descriptors }: Settled): string =>
  `${formatBytes(residentBytes)} resident, ${formatBytes(heapBytes)} of heap, ${descriptors} descriptors`;

function expectFlat(before: Settled, after: Settled): void {
  const grown = (what: 'residentBytes' | 'heapBytes', most: number): void => {
    if (after[what] - before[what] > most)
      throw new Error(`${what} has grown from ${formatBytes(before[what])} to ${formatBytes(after[what])}`);
  };
  grown('heapBytes', heapGrowthMax);
  grown('residentBytes', residentGrowthMax);
  // Files of another day, and connections that are kept for the next request.
  if (after.descriptors > before.descriptors + 20) throw new Error(`descriptors: ${before.descriptors} before, ${after.descriptors} after`);
}

async function expectHealth({ endpoint }: CollectorTarget): Promise<void> {
  const line = new HttpLine(endpoint, 1);
  try {
    const began = performance.now();
    const { status } = await askHttp(line, 'GET', '/healthz', {});
    const ms = performance.now() - began;
    if (status !== 200 || ms > healthMs) throw new Error(`/healthz answered ${status} after ${Math.round(ms)} ms`);
  } finally {
    line.close();
  }
}

function expectQuietLog(log: string): void {
  const loud = log.split('\n').filter((line) => uncaught.test(line) || /"level":"?(?:50|60|error|fatal)/.test(line));
  if (loud.length > 0) throw new Error(`${loud.length} lines of the log, the first of them:\n${loud.slice(0, 5).join('\n')}`);
}
