/**
 * From the write in a container to the operator's terminal: `relight tail` of two workloads while both write, against the
 * floor, `tail -F` on the host of the very files they write to. Both see the same lines, in the same run.
 *
 *   npm run bench -- tail [LINES_PER_SECOND [SECONDS [ELSEWHERE]]]
 *
 * ELSEWHERE: so many lines a second are sent by another host meanwhile, which nobody follows.
 *
 * The writer is this process: each line says when it was handed to the FIFO that the workload copies to its output.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { formatBytes } from '@relight/shared/units';
import { startPrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { programs, startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { startLoad } from '../support/log-load.ts';
import { waitFor } from '../support/wait.ts';

const host = 'bench';
const workloads = ['one', 'two'];

interface Reader {
  readonly child: ChildProcess;
  /** Milliseconds from the write to here, per line. */
  readonly latencies: number[];
  seen: number;
}

export async function run([rate = '200', time = '20', load = '0']: readonly string[]): Promise<void> {
  const [perSecond, seconds, elsewhere] = [Number(rate), Number(time), Number(load)];
  if (!(perSecond >= 1 && perSecond <= 20_000 && seconds >= 1)) throw new Error('LINES_PER_SECOND is from 1 to 20000, SECONDS from 1 up');
  if (!(elsewhere >= 0 && elsewhere <= 1_000_000)) throw new Error('ELSEWHERE is from 0 to 1000000');
  const engine = await startPrivateEngine();
  try {
    const image = await buildTestImage(engine);
    await using lab = await startLab({ engineSocket: engine.socket });
    const feed = join(lab.directory, 'feed');
    mkdirSync(feed);
    await Promise.all(workloads.map((name) => promisify(execFile)('mkfifo', [join(feed, name)])));
    const agent = await lab.addAgent({ host, workloads: workloads.map((name) => workload(name, image, feed)) });
    for (const name of workloads) await lab.fleet.waitForPhase(host, name, 'ready');
    if (elsewhere === 0) await measure(lab, agent, feed, perSecond, seconds);
    else {
      const token = await promisify(execFile)(process.execPath, [
        programs.collector,
        'token',
        'create',
        '--kind',
        'agent',
        '--data-dir',
        join(lab.directory, 'collector'),
      ]);
      await using other = await startLoad(lab.url, token.stdout.trim(), elsewhere);
      const began = performance.now();
      await measure(lab, agent, feed, perSecond, seconds);
      const reached = other.acknowledged / ((performance.now() - began) / 1_000);
      console.log(`  meanwhile ${Math.round(reached)} lines/s of another host were stored (wanted: ${elsewhere})`);
    }
  } finally {
    await engine.dispose();
  }
}

function workload(name: string, image: string, feed: string): Record<string, unknown> {
  return {
    name,
    container: { image, pull_policy: 'never', command: ['sleep', 'infinity'], init: true, volumes: [`${feed}:/feed`] },
    process: { run: `exec cat /feed/${name}`, stop_timeout: '1s' },
  };
}

async function measure(lab: Lab, agent: LabAgent, feed: string, perSecond: number, seconds: number): Promise<void> {
  const files = workloads.map((name) => {
    const directory = join(agent.stateDir, 'runs', name, '1');
    return join(directory, readdirSync(directory).find((file) => file.endsWith('.process.log')) ?? '');
  });
  const relight = read(process.execPath, [programs.relight, 'tail', '--host', host, '-n', '0'], lab.operatorEnvironment);
  // One for each file: of two files one tail writes what it has read, half a line of the one before the other's.
  const floor = files.map((file) => read('tail', ['-n', '0', '-F', file]));
  const floorLatencies = (): readonly number[] => floor.flatMap(({ latencies }) => latencies);
  const feeds = workloads.map((name) => openSync(join(feed, name), 'r+'));
  const write = (word: string): void => {
    for (const fd of feeds) writeSync(fd, `${word} ${now()}\n`);
  };
  try {
    await waitFor(
      () => {
        write('warm');
        return relight.seen > 0 && floor.every(({ seen }) => seen > 0);
      },
      { timeoutMs: 20_000, everyMs: 100, what: 'both readers to follow' },
    );
    let written = 0;
    const began = performance.now();
    while (performance.now() - began < seconds * 1_000) {
      // Catches up with the clock, so that a late timer lowers no rate; never in step with anybody's timer.
      const due = Math.floor(((performance.now() - began) / 1_000) * perSecond);
      for (; written < due; written += 1) write('line');
      await sleep(Math.random() * 10);
    }
    const all = written * workloads.length;
    await waitFor(() => relight.latencies.length >= all && floorLatencies().length >= all, {
      timeoutMs: 20_000,
      what: `${all} lines at both readers`,
    }).catch((cause: unknown) => {
      const found = `relight tail ${relight.latencies.length}, tail -F ${floorLatencies().length}`;
      throw new Error(`of ${all} lines came: ${found}`, { cause });
    });
    report(perSecond, floorLatencies(), relight.latencies);
  } finally {
    for (const { child } of [relight, ...floor]) child.kill('SIGKILL');
    for (const fd of feeds) closeSync(fd);
  }
}

const now = (): number => performance.timeOrigin + performance.now();

function read(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Reader {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  const reader: Reader = { child, latencies: [], seen: 0 };
  createInterface({ input: child.stdout }).on('line', (text) => {
    const [, word, at] = /(line|warm) (\d+(?:\.\d+)?)$/.exec(text) ?? [];
    reader.seen += 1;
    if (word === 'line') reader.latencies.push(now() - Number(at));
  });
  return reader;
}

function report(perSecond: number, floor: readonly number[], relight: readonly number[]): void {
  const machine = `${availableParallelism()} cores, ${formatBytes(totalmem())}`;
  console.log(`from the write to the terminal, two workloads of ${perSecond} lines/s each, ${relight.length} lines, ${machine}`);
  const row = (label: string, values: readonly number[]): void => {
    const figures = [0.5, 0.99, 1].map(
      (share) => `${share === 1 ? 'max' : `p${share * 100}`} ${at(values, share).toFixed(1).padStart(6)} ms`,
    );
    console.log(`  ${label.padEnd(28)} ${figures.join('   ')}`);
  };
  row('tail -F of the files', floor);
  row('relight tail', relight);
  const ratio = (share: number): string => (at(relight, share) / at(floor, share)).toFixed(1);
  console.log(`  ratio p50 ${ratio(0.5)}, p99 ${ratio(0.99)}; p99 ${at(relight, 0.99).toFixed(1)} ms (goal 100 ms, limit 250 ms)`);
}

function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
