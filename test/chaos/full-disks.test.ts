/** The real disks of agent and collector become full, under load and kills; `npm run bench -- full-disks 15` does it for a quarter of an hour. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { startLab } from '../support/lab.ts';
import { planText } from '../support/log-faults/disk-plan.ts';
import { DiskTrial } from '../support/log-faults/disk-trial.ts';
import { LoopDisk } from '../support/loop-disk.ts';
import { waitFor } from '../support/wait.ts';

const seed = Number(process.env['RELIGHT_DISKS_SEED'] ?? Date.now() % 2 ** 31);
const rounds = 2;
const roundMs = 10_000;

test(`full disks and kills, ${rounds} rounds, seed ${seed}`, { timeout: 1_200_000 }, async () => {
  await using trial = await DiskTrial.start({
    engineSocket: inject('engineSocket'),
    image: inject('engineImage'),
    seed,
    linesPerSecond: 2_000,
    megabytes: { agent: 512, collector: 512 },
  });
  for (let round = 1; round <= rounds; round += 1) {
    const { caughtUpMs, lines, plan } = await trial.round(roundMs);
    console.log(`${round}. ${planText(plan)}: caught up after ${caughtUpMs} ms, ${lines} lines`);
  }
  const { events, lines, missed } = await trial.end();
  expect(lines).toBeGreaterThan(0);
  expect(events).toBeGreaterThan(0);
  console.log(`${lines} lines, each once and in order, ${missed} more told of by gaps; ${events} events`);
});

test('a collector that starts on a disk without any room says so, and serves again when there is', async () => {
  await using lab = await startLab({ engineSocket: inject('engineSocket') });
  await lab.collector.stop();
  const mountPoint = join(lab.directory, 'collector');
  mkdirSync(join(lab.directory, 'disks'));
  const disk = await LoopDisk.mount(join(lab.directory, 'disks', 'collector'), mountPoint);
  await lab.collector.start();
  // After a kill it finds the files that it needs, and may get on without any room.
  await lab.collector.stop();
  disk.fill();
  await expect(lab.collector.start()).rejects.toThrow(`the disk of ${mountPoint} is full: 0 B are free`);
  disk.free();
  await lab.collector.start();
});

test('an agent that starts on a disk without any room watches its workload, and says why it has no memory', async () => {
  await using lab = await startLab({ engineSocket: inject('engineSocket') });
  mkdirSync(join(lab.directory, 'disks'));
  const disk = await LoopDisk.mount(join(lab.directory, 'disks', 'agent'), join(lab.directory, 'hosts', 'roomless', 'state'));
  const worker = await Bystander.ready(lab, 'roomless', inject('engineImage'), {
    process: { run: 'exec sleep 100000', stop_timeout: '1s' },
  });
  const before = await worker.container();
  await worker.agent.service.kill();
  disk.fill();
  await worker.agent.service.start();
  await waitFor(
    async () => {
      const { conditions } = (await lab.fleet.host('roomless')) ?? {};
      return conditions?.some(({ name, subject }) => name === 'disk-full' && subject === worker.agent.stateDir);
    },
    { what: 'the full disk to be told of', timeoutMs: 60_000, everyMs: 100 },
  );
  await worker.phase('ready');
  expect(await worker.container()).toMatchObject({ id: before.id, pid: before.pid });
  disk.free();
});
