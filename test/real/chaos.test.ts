/** Ten faults at random on a real worker; `npm run bench -- real-chaos 50` does fifty. */
import { randomInt } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { startLab } from '../support/lab.ts';
import { chaosRestarts, runChaos } from '../support/real/chaos.ts';
import { RayCluster } from '../support/real/ray-cluster.ts';

const count = 10;

test(`${count} faults in a row: back after each, nobody asked for help, no event missing`, { timeout: 900_000 }, async () => {
  const seed = Number(process.env['RELIGHT_SEED'] ?? randomInt(2 ** 31));
  console.log(`chaos: RELIGHT_SEED=${seed}`);
  await using lab = await startLab({ engineSocket: inject('engineSocket') });
  await using cluster = await RayCluster.start(lab, inject('engineSocket'), inject('realParts'));
  const worker = await cluster.startWorker('chaos', { document: { restart: chaosRestarts } });
  await worker.ready();
  const events = await runChaos(worker, count, seed, ({ round, what, ms }) => console.log(`  ${round}: ${what}: ready after ${ms} ms`));
  expect(events).toBeGreaterThan(count * 5);
});
