/**
 * Real Ray with real gcsfuse: how long a worker takes to be of use again after each fault, against the bare floor: the same
 * steps by hand, back to back, without agent, checks or state, by somebody who knows at once what is broken. Each round
 * measures both, one after the other, so that a machine whose speed drifts slows both alike.
 *
 *   npm run bench -- real [ROUNDS]
 */
import { availableParallelism, totalmem } from 'node:os';
import { formatBytes } from '@relight/shared/units';
import { startPrivateEngine } from '../support/engine.ts';
import { startLab } from '../support/lab.ts';
import { faults, type FaultName } from '../support/real/faults.ts';
import { RayByHand } from '../support/real/by-hand.ts';
import { loadRealParts } from '../support/real/ray-image.ts';
import { RayCluster, type RayWorker } from '../support/real/ray-cluster.ts';
import { median } from '../support/statistics.ts';

/** Which steps by hand mend it. */
const measured: readonly (readonly [FaultName, keyof RayByHand['mend']])[] = [
  ['container killed', 'container'],
  ['raylet killed', 'process'],
  ['raylet ended, ray start alive', 'process'],
  ['gcsfuse killed', 'mount'],
  ['gcsfuse hung', 'mount'],
];

interface Recovery {
  /** From the fault to the first word about it. */
  readonly noticedMs: number;
  readonly readyMs: number;
}

export async function run([rounds = '3']: readonly string[]): Promise<void> {
  const count = Number(rounds);
  if (!Number.isSafeInteger(count) || count < 1) throw new Error(`ROUNDS is a whole number from 1 up, not "${rounds}"`);
  await using engine = await startPrivateEngine();
  const parts = await loadRealParts(engine);
  await using lab = await startLab({ engineSocket: engine.socket });
  await using cluster = await RayCluster.start(lab, engine.socket, parts);
  const worker = await cluster.startWorker('bench');
  await worker.ready();
  const hand = await RayByHand.start(cluster);
  console.log(`a Ray worker with its bucket, ${count} rounds, medians, ${availableParallelism()} cores, ${formatBytes(totalmem())}`);
  console.log(
    `${'fault'.padEnd(32)}${'by hand'.padStart(9)}${'noticed'.padStart(9)}${'ready'.padStart(9)}${'from notice'.padStart(13)}   ratio`,
  );
  for (const [fault, mend] of measured) {
    const floors: number[] = [];
    const recoveries: Recovery[] = [];
    for (let round = 0; round < count; round += 1) {
      floors.push(await hand.mend[mend]());
      recoveries.push(await recovery(worker, fault));
    }
    const floor = median(floors);
    const noticed = median(recoveries.map(({ noticedMs }) => noticedMs));
    const ready = median(recoveries.map(({ readyMs }) => readyMs));
    const own = median(recoveries.map(({ noticedMs, readyMs }) => readyMs - noticedMs));
    const cells = [seconds(floor).padStart(9), seconds(noticed).padStart(9), seconds(ready).padStart(9), seconds(own).padStart(13)];
    console.log(`${fault.padEnd(32)}${cells.join('')}   ${(own / floor).toFixed(2)}`);
  }
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** From just before the fault to the agent's `workload.ready`, both on this machine's clock. */
async function recovery(worker: RayWorker, fault: FaultName): Promise<Recovery> {
  const { bystander } = worker;
  const mark = await bystander.mark();
  const began = Date.now();
  await faults[fault](worker);
  const ready = await bystander.next(mark, 'workload.ready', undefined, 180_000);
  const told = (await bystander.since(mark)).find(({ kind }) =>
    /^(?:container\.died|process\.exited|mount\.(?:lost|hung)|restart\.scheduled)$/.test(kind),
  );
  await bystander.phase('ready');
  return { noticedMs: Date.parse(told?.at ?? ready.at) - began, readyMs: Date.parse(ready.at) - began };
}
