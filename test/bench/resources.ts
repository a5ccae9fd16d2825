/**
 * What agent and collector cost: resident memory and CPU, idle and while a workload writes. From /proc of the real processes.
 *
 *   npm run bench -- resources [LINES_PER_SECOND [SECONDS]]
 *
 * Idle is one workload with an exec check every 10 s. Times are of everything the process and its threads do, in ticks of 10 ms.
 */
import { availableParallelism, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatBytes } from '@relight/shared/units';
import { startPrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { countingScript } from '../support/numbered-lines.ts';
import { cpuMs, memoryOf } from '../support/process-cost.ts';
import type { Service } from '../support/service.ts';

const settleMs = 10_000;

export async function run([rate = '1000', time = '60']: readonly string[]): Promise<void> {
  const [perSecond, seconds] = [Number(rate), Number(time)];
  if (!(perSecond >= 1 && seconds >= 1)) throw new Error('LINES_PER_SECOND and SECONDS are numbers from 1 up');
  const engine = await startPrivateEngine();
  try {
    const image = await buildTestImage(engine);
    await using lab = await startLab({ engineSocket: engine.socket });
    console.log(`resources over ${seconds} s, ${availableParallelism()} cores, ${formatBytes(totalmem())}`);
    const idle = await addAgent(lab, 'idle', image, 'exec sleep 1000000');
    await measure({ 'agent, idle': idle, 'collector, idle': lab.collector }, seconds);
    const busy = await addAgent(lab, 'busy', image, countingScript({ perSecond, stopFile: '/stop' }));
    const before = await lastLine(lab);
    await measure({ 'agent, writing': busy, 'collector, writing': lab.collector }, seconds);
    const lines = (await lastLine(lab)) - before;
    console.log(`  writing was ${Math.round(lines / (seconds + settleMs / 1_000))} lines/s`);
  } finally {
    await engine.dispose();
  }
}

async function addAgent(lab: Lab, host: string, image: string, command: string): Promise<Service> {
  const { service } = await lab.addAgent({
    host,
    workloads: [
      {
        name: 'worker',
        container: { name: `bench-${host}`, image, pull_policy: 'never', command: ['sleep', 'infinity'], init: true },
        process: { run: command, stop_timeout: '1s' },
        live: [{ exec: 'true', interval: '10s' }],
      },
    ],
  });
  await lab.fleet.waitForPhase(host, 'worker', 'ready');
  return service;
}

async function lastLine(lab: Lab): Promise<number> {
  const [last] = await lab.fleet.logs({ host: 'busy', source: 'process', tail: 1 });
  return last !== undefined && 'line' in last ? Number(last.line.slice('line '.length)) : 0;
}

async function measure(services: Readonly<Record<string, Service>>, seconds: number): Promise<void> {
  await sleep(settleMs);
  const before = Object.values(services).map(({ pid }) => cpuMs(pid));
  await sleep(seconds * 1_000);
  for (const [index, [name, service]] of Object.entries(services).entries()) {
    const share = ((cpuMs(service.pid) - (before[index] ?? 0)) / (seconds * 1_000)) * 100;
    console.log(
      `  ${name.padEnd(20)} ${formatBytes(memoryOf(service.pid).residentBytes).padStart(9)} resident   ${share.toFixed(2).padStart(6)} % of a core`,
    );
  }
}
