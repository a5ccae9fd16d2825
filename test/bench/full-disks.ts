/**
 * Full disks and kills at random, on agent and collector with a disk of their own each, under 10,000 numbered lines a second.
 *
 *   npm run bench -- full-disks [MINUTES [SEED]]
 */
import { randomInt } from 'node:crypto';
import { availableParallelism, loadavg, totalmem } from 'node:os';
import { formatBytes } from '@relight/shared/units';
import { startPrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { DiskTrial, type RoundResult } from '../support/log-faults/disk-trial.ts';
import { planText, sides } from '../support/log-faults/disk-plan.ts';
import { median } from '../support/statistics.ts';

const linesPerSecond = 10_000;
const roundMs = 40_000;
/** Of a minute of such lines, with all that belongs to them. */
const megabytesPerMinute = 400;

export async function run([time = '15', given]: readonly string[]): Promise<void> {
  const minutes = Number(time);
  const seed = given === undefined ? randomInt(2 ** 31) : Number(given);
  if (!(minutes > 0) || !Number.isSafeInteger(seed))
    throw new Error('usage: full-disks [MINUTES [SEED]], MINUTES more than 0, SEED a whole number');
  console.log(`${minutes} minutes, seed ${seed}, ${linesPerSecond} lines/s`);
  await using engine = await startPrivateEngine();
  const image = await buildTestImage(engine);
  const megabytes = { agent: 2_048, collector: Math.ceil(1_024 + minutes * 2 * megabytesPerMinute) };
  await using trial = await DiskTrial.start({ engineSocket: engine.socket, image, seed, linesPerSecond, megabytes });
  const rounds: RoundResult[] = [];
  const began = performance.now();
  while (performance.now() - began < minutes * 60_000) {
    const round = await trial.round(roundMs);
    rounds.push(round);
    console.log(
      `${String(rounds.length).padStart(3)}  caught up after ${seconds(round.caughtUpMs)}, all ${round.lines} lines judged after ${seconds(round.judgedMs)}: ${planText(round.plan)}`,
    );
  }
  const took = performance.now() - began;
  const { lines, missed, gaps, events, eventsInMemory, resident } = await trial.end();
  const of = (count: (round: RoundResult) => number): number => rounds.reduce((sum, round) => sum + count(round), 0);
  const machine = `${availableParallelism()} cores, ${formatBytes(totalmem())}, load ${(loadavg()[0] ?? 0).toFixed(1)}`;
  console.log(
    `${seconds(took)}, ${rounds.length} rounds, ${of(({ plan }) => plan.full.length)} full disks, ${of(({ plan }) => plan.kills.length)} kills; ${machine}`,
  );
  console.log(`  ${lines} lines, each once and in order; ${missed} more were told of by gaps (${JSON.stringify(gaps)})`);
  console.log(
    `  ${events} events, each once; ${eventsInMemory} of them only in the memory of an agent that was killed while its disk was full`,
  );
  const backs = rounds.map(({ caughtUpMs }) => caughtUpMs);
  console.log(`  caught up after ${seconds(median(backs))} in the median, ${seconds(Math.max(...backs))} at most`);
  for (const side of sides) {
    const sizes = resident[side];
    const third = Math.ceil(sizes.length / 3);
    const thirds = [sizes.slice(0, third), sizes.slice(third, -third), sizes.slice(-third)].map((part) => formatBytes(median(part)));
    console.log(`  ${side}: median of each third ${thirds.join(', ')}; at most ${formatBytes(Math.max(...sizes))}`);
  }
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
