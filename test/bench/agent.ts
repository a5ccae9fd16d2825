/**
 * What an agent costs that sends logs, and how much it can send: real lines (log-shapes.ts), a real engine, a real collector on
 * the same cores.
 *
 *   npm run bench -- agent [LINES_PER_SECOND [SECONDS [MILLION_LINES]]]
 *
 * - floor: resident memory of a bare Node with the agent's V8 flags, and with one dependency of the agent each.
 * - start-up: what the first 30 s cost, once. Idle: three minutes or SECONDS after that, whichever is more. Then LINES_PER_SECOND, line
 *   by line. CPU and memory.
 * - MILLION_LINES that are there at once: from the first byte to the durable commit of the last line, agent and collector
 *   sharing the cores with the `cat` that writes them; beside it, the bare `cat` of the same bytes to a file.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, createWriteStream, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { formatBytes } from '@relight/shared/units';
import { startPrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { logShapes } from '../support/log-shapes.ts';
import { coreShare, cpuMs, idleMsMin, memoryOf, startUpMs } from '../support/process-cost.ts';
import { waitFor } from '../support/wait.ts';

const execute = promisify(execFile);
const agentPackage = join(import.meta.dirname, '../../packages/agent');
const seed = 20_261_122;
const settleMs = 10_000;

export async function run([rate = '1000', time = '60', millions = '2']: readonly string[]): Promise<void> {
  const [perSecond, seconds, lines] = [Number(rate), Number(time), Number(millions) * 1e6];
  if (!(perSecond >= 1 && seconds >= 1 && lines >= 0))
    throw new Error('LINES_PER_SECOND and SECONDS are numbers from 1 up, MILLION_LINES from 0');
  console.log(`agent, ${availableParallelism()} cores, ${formatBytes(totalmem())}`);
  await floor();
  const engine = await startPrivateEngine();
  try {
    const image = await buildTestImage(engine);
    await using lab = await startLab({ engineSocket: engine.socket });
    const feed = join(lab.directory, 'feed');
    mkdirSync(feed);
    await execute('mkfifo', [join(feed, 'lines')]);
    const workloads = [workload('steady', image, feed, 'exec cat /feed/lines')];
    const began = performance.now();
    const agent = await lab.addAgent({ host: 'bench', workloads });
    await lab.fleet.waitForPhase('bench', 'steady', 'ready');
    await sleep(startUpMs - (performance.now() - began));
    tell('agent, start-up: its first 30 s', coreShare(cpuMs(agent.service.pid), performance.now() - began));
    await steady(lab, agent, feed, perSecond, seconds);
    if (lines > 0) await flood(lab, image, feed, lines);
  } finally {
    await engine.dispose();
  }
}

function workload(name: string, image: string, feed: string, command: string): Record<string, unknown> {
  return {
    name,
    container: {
      name: `bench-${name}`,
      image,
      pull_policy: 'never',
      command: ['sleep', 'infinity'],
      init: true,
      volumes: [`${feed}:/feed`],
    },
    process: { run: command, stop_timeout: '1s' },
    live: [{ exec: 'true', interval: '10s' }],
    logs: { rate_limit: '100000000 per 1s' },
  };
}

/** Every dependency of the agent alone in a Node of its own. */
async function floor(): Promise<void> {
  const { dependencies } = JSON.parse(readFileSync(join(agentPackage, 'package.json'), 'utf8')) as { dependencies: Record<string, string> };
  const names = Object.keys(dependencies).filter((name) => !name.startsWith('@relight/'));
  const bare = await importing('');
  console.log(
    `  bare Node with the agent's V8 flags    ${formatBytes(bare.residentBytes)} resident, ${formatBytes(bare.privateBytes)} private`,
  );
  for (const name of names) {
    const { privateBytes } = await importing(`await import('${name}');`);
    console.log(`    with ${name.padEnd(20)} ${formatBytes(Math.max(0, privateBytes - bare.privateBytes)).padStart(9)} private more`);
  }
}

async function importing(statement: string): Promise<ReturnType<typeof memoryOf>> {
  const flags = ['--semi-space-growth-factor=1', '--optimize-for-size', '--turbo-filter=hot*', '--no-maglev', '--no-sparkplug'];
  const source = `${statement} console.log('ready'); setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', source], {
    cwd: agentPackage,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await new Promise((resolve, reject) => {
      child.stdout.once('data', resolve);
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`node ended with ${code}`)));
    });
    await sleep(1_500);
    return memoryOf(child.pid);
  } finally {
    child.kill('SIGKILL');
  }
}

async function steady(lab: Lab, agent: LabAgent, feed: string, perSecond: number, seconds: number): Promise<void> {
  const measured = { agent: agent.service.pid, collector: lab.collector.pid };
  const idleMs = Math.max(idleMsMin, seconds * 1_000);
  const idle = await shares(measured, async () => {
    await sleep(idleMs);
    return idleMs / 1_000;
  });
  tell('agent, idle (goal 0.3 %)', idle.agent);
  tell('collector, idle', idle.collector);
  const fd = openSync(join(feed, 'lines'), 'r+');
  let written = 0;
  const writing = async (milliseconds: number): Promise<void> => {
    const lines = logShapes(seed, { kind: 'vllm' });
    const began = performance.now();
    const before = written;
    while (performance.now() - began < milliseconds) {
      const due = before + Math.floor(((performance.now() - began) / 1_000) * perSecond);
      // One write a line, as a program without a buffer has it.
      for (const line of lines.lines(Math.max(0, due - written))) writeSync(fd, `${line}\n`);
      written = due;
      await sleep(5);
    }
  };
  try {
    await writing(settleMs);
    const began = written;
    const busy = await shares(measured, async () => {
      const start = performance.now();
      await writing(seconds * 1_000);
      return (performance.now() - start) / 1_000;
    });
    const real = Math.round((written - began) / seconds);
    tell(`agent, ${real} lines/s (goal at 1000: 2 %)`, busy.agent);
    tell(`collector, ${real} lines/s`, busy.collector);
  } finally {
    closeSync(fd);
  }
}

const tell = (what: string, cost: string): void => console.log(`  ${what.padEnd(38)} ${cost}`);

/** CPU over what `work` takes, which it says in seconds, and memory at its end. */
async function shares<Name extends string>(
  pids: Record<Name, number | undefined>,
  work: () => Promise<number>,
): Promise<Record<Name, string>> {
  const entries = Object.entries(pids) as [Name, number | undefined][];
  const before = entries.map(([, pid]) => cpuMs(pid));
  const seconds = await work();
  return Object.fromEntries(
    entries.map(([name, pid], index) => {
      const share = coreShare(cpuMs(pid) - (before[index] ?? 0), seconds * 1_000);
      const { privateBytes, residentBytes } = memoryOf(pid);
      return [name, `${share}   ${formatBytes(residentBytes)} resident, ${formatBytes(privateBytes)} private`];
    }),
  ) as Record<Name, string>;
}

async function flood(lab: Lab, image: string, feed: string, lines: number): Promise<void> {
  const path = join(feed, 'flood');
  const stream = createWriteStream(path);
  for (const { bytes } of logShapes(seed).chunks(lines)) if (!stream.write(bytes)) await once(stream, 'drain');
  stream.end('the very last line\n');
  await finished(stream);
  const bare = performance.now();
  await execute('sh', ['-c', `cat ${path} > ${join(lab.directory, 'floor')}`]);
  const floorMs = performance.now() - bare;
  const agent = await lab.addAgent({
    host: 'flood',
    workloads: [workload('flood', image, feed, 'while [ ! -e /feed/go ]; do sleep 0.05; done; cat /feed/flood; exec sleep 1000000')],
  });
  await lab.fleet.waitForPhase('flood', 'flood', 'ready');
  const pids = { agent: agent.service.pid, collector: lab.collector.pid };
  let peak = 0;
  const began = performance.now();
  await execute('touch', [join(feed, 'go')]);
  const cost = await shares(pids, async () => {
    await waitFor(
      async () => {
        peak = Math.max(peak, memoryOf(agent.service.pid).residentBytes);
        const [last] = await lab.fleet.logs({ host: 'flood', source: 'process', tail: 1 });
        return last !== undefined && 'line' in last && last.line === 'the very last line';
      },
      { timeoutMs: 300_000, everyMs: 250, what: 'the last line to be stored' },
    );
    return (performance.now() - began) / 1_000;
  });
  const ms = performance.now() - began;
  const size = statSync(path).size;
  console.log(
    `  ${lines / 1e6} M lines, ${formatBytes(size)}, end to end: ${(ms / 1_000).toFixed(1)} s, ${Math.round(lines / (ms / 1_000))} lines/s (goal 200000)`,
  );
  console.log(
    `    bare cat to a file: ${(floorMs / 1_000).toFixed(1)} s, ratio ${(ms / floorMs).toFixed(1)}; agent at most ${formatBytes(peak)} resident`,
  );
  for (const [name, text] of Object.entries(cost)) console.log(`    ${name.padEnd(36)} ${text}`);
}
