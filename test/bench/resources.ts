/**
 * What agent and collector cost: resident memory and CPU, idle and while a workload writes. From /proc of the real processes.
 *
 *   npm run bench -- resources [LINES_PER_SECOND [SECONDS]]
 *
 * Start-up is what the first 30 s of an agent cost, once; idle is one workload with an exec check every 10 s, after that, over three
 * minutes or SECONDS, whichever is more. Times are of everything the process and its threads do, in ticks of 10 ms.
 */
import { availableParallelism, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatBytes } from '@relight/shared/units';
import { startPrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { countingScript } from '../support/numbered-lines.ts';
import { coreShare, cpuMs, idleMsMin, memoryOf, startUpMs } from '../support/process-cost.ts';
import type { Service } from '../support/service.ts';

export async function run([rate = '1000', time = '60']: readonly string[]): Promise<void> {
  const [perSecond, seconds] = [Number(rate), Number(time)];
  if (!(perSecond >= 1 && seconds >= 1)) throw new Error('LINES_PER_SECOND and SECONDS are numbers from 1 up');
  const engine = await startPrivateEngine();
  try {
    const image = await buildTestImage(engine);
    await using lab = await startLab({ engineSocket: engine.socket });
    console.log(`resources, ${availableParallelism()} cores, ${formatBytes(totalmem())}`);
    const idle = await addAgent(lab, 'idle', image, 'exec sleep 1000000');
    await measure({ 'agent, idle (goal 0.3 %)': idle, 'collector, idle': lab.collector }, Math.max(idleMsMin, seconds * 1_000));
    const busy = await addAgent(lab, 'busy', image, countingScript({ perSecond, stopFile: '/stop' }));
    const before = await lastLine(lab);
    const began = performance.now();
    await measure({ 'agent, writing': busy, 'collector, writing': lab.collector }, seconds * 1_000);
    const lines = (await lastLine(lab)) - before;
    console.log(`  writing was ${Math.round(lines / ((performance.now() - began) / 1_000))} lines/s (goal 2 % at 1000 lines/s)`);
  } finally {
    await engine.dispose();
  }
}

/** When its start-up is over and told. */
async function addAgent(lab: Lab, host: string, image: string, command: string): Promise<Service> {
  const began = performance.now();
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
  await sleep(startUpMs - (performance.now() - began));
  tell(`agent, start-up: its first 30 s`, service, cpuMs(service.pid), performance.now() - began);
  return service;
}

async function lastLine(lab: Lab): Promise<number> {
  const [last] = await lab.fleet.logs({ host: 'busy', source: 'process', tail: 1 });
  return last !== undefined && 'line' in last ? Number(last.line.slice('line '.length)) : 0;
}

async function measure(services: Readonly<Record<string, Service>>, ms: number): Promise<void> {
  const before = Object.values(services).map(({ pid }) => cpuMs(pid));
  await sleep(ms);
  for (const [index, [name, service]] of Object.entries(services).entries())
    tell(name, service, cpuMs(service.pid) - (before[index] ?? 0), ms);
}

function tell(what: string, { pid }: Service, spentMs: number, ms: number): void {
  console.log(`  ${what.padEnd(32)} ${formatBytes(memoryOf(pid).residentBytes).padStart(9)} resident   ${coreShare(spentMs, ms)}`);
}
