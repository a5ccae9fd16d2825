/**
 * Faults at random on a real Ray worker with its mount: back after each, nobody asked for help, no event missing.
 *
 *   npm run bench -- real-chaos [FAULTS [SEED]]
 */
import { randomInt } from 'node:crypto';
import { startPrivateEngine } from '../support/engine.ts';
import { startLab } from '../support/lab.ts';
import { chaosRestarts, runChaos } from '../support/real/chaos.ts';
import { loadRealParts } from '../support/real/ray-image.ts';
import { RayCluster } from '../support/real/ray-cluster.ts';

export async function run([faults = '50', given]: readonly string[]): Promise<void> {
  const count = Number(faults);
  const seed = given === undefined ? randomInt(2 ** 31) : Number(given);
  if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(seed))
    throw new Error('usage: real-chaos [FAULTS [SEED]], whole numbers');
  console.log(`${count} faults, seed ${seed}`);
  await using engine = await startPrivateEngine();
  const parts = await loadRealParts(engine);
  await using lab = await startLab({ engineSocket: engine.socket });
  await using cluster = await RayCluster.start(lab, engine.socket, parts);
  const worker = await cluster.startWorker('chaos', { document: { restart: chaosRestarts } });
  await worker.ready();
  const times: number[] = [];
  const events = await runChaos(worker, count, seed, ({ round, what, ms }) => {
    times.push(ms);
    console.log(`  ${String(round).padStart(3)}  ${(ms / 1_000).toFixed(1).padStart(6)} s  ${what}`);
  });
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): string => ((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) / 1_000).toFixed(1);
  console.log(
    `${count} faults, all back, none needed a hand, all ${events} events stored: median ${at(0.5)} s, p90 ${at(0.9)} s, longest ${at(1)} s`,
  );
}
