/**
 * Agent and collector at full load on the same cores, end to end: real log shapes from a workload's process to the collector's disk, as fast as
 * they go, and what both keep in memory all along.
 *
 *   npm run bench -- endurance [SECONDS [LINES_PER_SECOND]]
 *
 * Without a rate the writer keeps a backlog of half a million lines: more are written as soon as the collector has committed some. Retention
 * is small, so that old logs are removed all along as well.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { availableParallelism, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatBytes } from '@relight/shared/units';
import { bytesOnDisk } from '../support/bench-peers/peer.ts';
import { startPrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { logKinds, logShapes } from '../support/log-shapes.ts';
import { median } from '../support/statistics.ts';
import { waitFor } from '../support/wait.ts';

const host = 'endurance';
const seed = 20_261_122;
const backlogLines = 500_000;
/** Made beforehand, again and again: far more than any window of zstd. */
const prepared = 350_000;
const sampleMs = 5_000;
const tickMs = 10;

interface Sample {
  readonly seconds: number;
  readonly stored: number;
  readonly agentBytes: number;
  readonly collectorBytes: number;
}

export async function run([time = '600', rate = '0']: readonly string[]): Promise<void> {
  const [seconds, perSecond] = [Number(time), Number(rate)];
  if (!(seconds >= 20 && perSecond >= 0)) throw new Error('SECONDS is a number from 20 up, LINES_PER_SECOND one from 0 up');
  const engine = await startPrivateEngine();
  try {
    const image = await buildTestImage(engine);
    const retention = { logs_bytes: '512mb' };
    await using lab = await startLab({ engineSocket: engine.socket, collector: { retention } });
    const feed = join(lab.directory, 'feed');
    mkdirSync(feed);
    for (const kind of logKinds) execFileSync('mkfifo', [join(feed, kind)]);
    await lab.addAgent({ host, workloads: logKinds.map((kind) => workload(kind, image, feed)) });
    for (const kind of logKinds) await lab.fleet.waitForPhase(host, kind, 'ready');
    await measure(lab, feed, seconds, perSecond);
  } finally {
    await engine.dispose();
  }
}

/** A stream of its own for each kind, as it would be. */
function workload(kind: string, image: string, feed: string): Record<string, unknown> {
  return {
    name: kind,
    container: { image, pull_policy: 'never', command: ['sleep', 'infinity'], init: true, volumes: [`${feed}:/feed`] },
    process: { run: `exec cat /feed/${kind}`, stop_timeout: '1s' },
    logs: { rate_limit: '10000000 per 1s' },
  };
}

async function measure(lab: Lab, feed: string, seconds: number, perSecond: number): Promise<void> {
  const sources = logKinds.map((kind) => ({
    fd: openSync(join(feed, kind), constants.O_RDWR),
    chunks: [...logShapes(seed, { kind }).chunks(Math.floor(prepared / logKinds.length), 64 << 10)],
  }));
  const pids = { agent: lab.agents[0]?.service.pid, collector: lab.collector.pid };
  const cpuBefore = { agent: cpuMs(pids.agent), collector: cpuMs(pids.collector) };
  const [began, before] = [performance.now(), await storedLines(lab)];
  const samples: Sample[] = [];
  let [written, bytes, stored, round] = [0, 0, 0, 0];
  const elapsed = (): number => (performance.now() - began) / 1_000;
  while (elapsed() < seconds) {
    stored = (await storedLines(lab)) - before;
    const due = perSecond === 0 ? stored + backlogLines : Math.min(stored + 4 * backlogLines, elapsed() * perSecond);
    while (written < due) {
      for (const { chunks, fd } of sources) {
        const chunk = chunks[round % chunks.length];
        if (chunk === undefined) continue;
        for (let at = 0; at < chunk.bytes.length;) at += writeSync(fd, chunk.bytes, at);
        written += chunk.lines;
        bytes += chunk.bytes.length;
      }
      round += 1;
    }
    if (elapsed() * 1_000 >= samples.length * sampleMs)
      samples.push({
        seconds: elapsed(),
        stored,
        agentBytes: residentBytes(pids.agent),
        collectorBytes: residentBytes(pids.collector),
      });
    await sleep(100);
  }
  const took = elapsed();
  const cpu = {
    agent: (cpuMs(pids.agent) - cpuBefore.agent) / took / 10,
    collector: (cpuMs(pids.collector) - cpuBefore.collector) / took / 10,
  };
  for (const { fd } of sources) closeSync(fd);
  await waitFor(async () => (await storedLines(lab)) - before >= written, {
    timeoutMs: 120_000,
    everyMs: 200,
    what: `all ${written} lines to be stored`,
  });
  report({ samples, took, stored, written, bytes, cpu });
  const gaps = (await lab.fleet.events({ host, kind: 'log.gap' })).length;
  const onDisk = formatBytes(bytesOnDisk(join(lab.directory, 'collector')));
  console.log(
    `  ${gaps} events about gaps; the collector has ${onDisk} on its disk, the agent ${formatBytes(bytesOnDisk(join(lab.directory, 'hosts')))}`,
  );
}

interface Result {
  readonly samples: readonly Sample[];
  readonly took: number;
  readonly stored: number;
  readonly written: number;
  readonly bytes: number;
  readonly cpu: Readonly<Record<'agent' | 'collector', number>>;
}

function report({ bytes, cpu, samples, stored, took, written }: Result): void {
  const machine = `${availableParallelism()} cores, ${formatBytes(totalmem())}, load ${(loadavg()[0] ?? 0).toFixed(1)}`;
  console.log(`${Math.round(took)} s at full load, ${logKinds.length} streams, ${Math.round(bytes / written)} bytes a line, ${machine}`);
  console.log(
    `  ${Math.round(stored / took)} lines/s end to end; agent ${cpu.agent.toFixed(0)} %, collector ${cpu.collector.toFixed(0)} % of a core`,
  );
  // What of the result does not hang on what else the machine does.
  const micros = (share: number): string => ((share * took * 10_000) / stored).toFixed(2);
  console.log(`  µs of CPU a line: agent ${micros(cpu.agent)}, collector ${micros(cpu.collector)}`);
  const third = Math.ceil(samples.length / 3);
  for (const side of ['agent', 'collector'] as const) {
    const sizes = samples.map((sample) => sample[`${side}Bytes`]);
    const of = (part: readonly number[]): string => formatBytes(median(part));
    const thirds = [sizes.slice(0, third), sizes.slice(third, -third), sizes.slice(-third)].map(of).join(', ');
    console.log(`  ${side}: median of each third ${thirds}; at most ${formatBytes(Math.max(...sizes))}`);
  }
}

async function storedLines(lab: Lab): Promise<number> {
  const token = readFileSync(lab.operatorTokenFile, 'utf8').trim();
  const answer = await fetch(`${lab.url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  const lines = [...(await answer.text()).matchAll(/^relight_ingest_lines_total(?:\{[^}]*\})? (\d+)/gm)];
  if (lines.length === 0) throw new Error(`the collector's metrics (${answer.status}) do not count lines`);
  return lines.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** utime and stime, fields 14 and 15 of /proc/PID/stat. */
function cpuMs(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

function residentBytes(pid: number | undefined): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1_024;
}
