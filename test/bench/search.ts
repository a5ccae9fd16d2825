/**
 * Finding lines among many millions: a word that stands in one of them, the first page of a word that stands in most blocks, and an
 * expression that no filter helps with, asked of the collector as it is installed; against `zstdcat | grep` over the same bytes in
 * the same run. While the last one runs, everybody else's requests are timed.
 *
 *   npm run bench -- search [MILLIONS_OF_LINES [peers]]
 *
 * `peers`: rsyslog and VictoriaLogs are filled with the same lines and asked the same; that takes a minute for each few million lines.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get, request, type IncomingMessage } from 'node:http';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, zstdCompressSync } from 'node:zlib';
import { openStore } from '@relight/collector/store/sqlite-store';
import { systemClock } from '@relight/shared/clock';
import { packBlock, type Block, type RawLine } from '@relight/shared/log-block';
import { formatBytes } from '@relight/shared/units';
import { searchPeers } from '../support/bench-peers/search.ts';
import { programs, startLab, type Lab } from '../support/lab.ts';
import { logShapes } from '../support/log-shapes.ts';
import { percentile } from '../support/statistics.ts';

const million = 1_000_000;
const seed = 7;
const rare = 'zymurgy7f3a';
const rareLine = Buffer.from(`2026-11-22 08:00:00,000 ERROR worker.py:7 -- lost ${rare} on the way\n`);
/** In about every second block of the shapes, and in no short list of lines. */
const common = 'error';
/** Its only certain text is shorter than any word. */
const expression = 'z.m.r.y7f3';
const rounds = 5;
const receivedLateMs = 1_000;

export async function run([millions = '10', beside]: readonly string[]): Promise<void> {
  const hosts = Number(millions);
  if (!(Number.isInteger(hosts) && hosts >= 1 && hosts <= 200)) throw new Error('MILLIONS_OF_LINES is from 1 to 200');
  await using lab = await startLab({ engineSocket: '' });
  await lab.collector.stop();
  const texts = join(lab.directory, 'texts');
  mkdirSync(texts);
  const began = performance.now();
  const stored = await fill(join(lab.directory, 'collector'), texts, hosts);
  console.log(
    `${hosts} million lines of ${hosts} hosts, ${formatBytes(stored.raw)} raw, ${formatBytes(stored.packed)} in ${stored.blocks} blocks; made in ${seconds(began)}`,
  );
  console.log(`${availableParallelism()} cores, ${formatBytes(totalmem())}\n`);
  await lab.collector.start();
  const { commonMs, rareMs } = await measure(lab, texts, hosts);
  if (beside !== 'peers') return;
  await lab.collector.stop();
  await searchPeers({ seed, hosts, linesPerHost: million, rare, line: rareLine, common, rareMs, commonMs });
}

/** The lines of one host are those of every other: what is measured is how many there are. */
async function fill(dataDir: string, texts: string, hosts: number): Promise<{ raw: number; packed: number; blocks: number }> {
  const template: Block[] = [];
  const files: Buffer[] = [];
  const at = Date.now() - 3_600_000;
  let offset = 0;
  for (const { bytes } of logShapes(seed).chunks(million, 1_000_000)) {
    template.push(blockOf(bytes, offset, at));
    files.push(zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 9 } }));
    offset += bytes.length;
  }
  writeFileSync(join(texts, 'lines.zst'), Buffer.concat(files));
  writeFileSync(join(texts, 'rare.zst'), zstdCompressSync(rareLine));

  const store = await openStore({ dataDir, clock: systemClock });
  let packed = 0;
  let blocks = 0;
  try {
    const put = async (host: number, { header, body }: Block, run: string): Promise<void> => {
      const name = `host-${host}`;
      const segment = { ...header.segment, run };
      await store.commitBlock(name, name, { header: { ...header, segment }, body }, header.lastAt + receivedLateMs);
      packed += body.length;
      blocks += 1;
    };
    // In the order of time, as they would have come.
    for (const [index, block] of template.entries()) {
      await Promise.all(Array.from({ length: hosts }, (_, host) => put(host, block, '1')));
      if (index === Math.floor(template.length / 3)) await put(0, blockOf(rareLine, 0, block.header.lastAt), '2');
    }
  } finally {
    await store.close();
  }
  return { raw: offset * hosts, packed, blocks };
}

function blockOf(bytes: Buffer, from: number, at: number): Block {
  const lines: RawLine[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(10, start);
    lines.push({
      offset: from + start,
      at: at + Math.floor((from + start) / 1e5),
      approx: false,
      stream: 'stdout',
      bytes: bytes.subarray(start, end),
      truncated: false,
    });
    start = end + 1;
  }
  return packBlock({ workload: 'w', generation: 1, source: 'process', run: '1' }, from, from + bytes.length, lines, 9);
}

async function measure(lab: Lab, texts: string, hosts: number): Promise<{ readonly rareMs: number; readonly commonMs: number }> {
  const ask = (query: string): Promise<Answer> => fetchAll(lab, query);
  await ask(`word=${rare}&limit=1&order=newest`); // starts the thread
  const rareTimes = await repeat(rounds, () => ask(`word=${rare}&order=newest`), 1);
  const grepRare = await repeat(rounds, () => ask(`grep=${encodeURIComponent(`lost ${rare} on`)}`), 1);
  const page = await repeat(rounds, () => ask(`word=${common}&order=newest&limit=100`), 100);
  const oldest = await repeat(rounds, () => ask(`word=${common}&limit=100`), 100);
  const terminal = await repeat(rounds, () => command(lab, ['search', rare]), 1);

  const files = [...Array.from({ length: hosts }, () => join(texts, 'lines.zst')), join(texts, 'rare.zst')];
  const floorBegan = performance.now();
  const { stdout } = await promisify(execFile)('sh', ['-c', `zstdcat "$@" | LC_ALL=C grep -c -F ${rare}`, 'sh', ...files]);
  if (stdout.trim() !== '1') throw new Error(`zstdcat | grep found ${stdout}`);
  const floor = performance.now() - floorBegan;

  row('zstdcat | grep -F of a rare word', [floor]);
  row(`a rare word (goal 1 s)`, rareTimes, floor);
  row('a rare text, --grep', grepRare, floor);
  row('relight search of it, from the shell', terminal, floor);
  row(`100 of a common word, newest first (goal 200 ms)`, page);
  row('100 of a common word, oldest first', oldest);
  await beside(lab, floor);
  return { rareMs: percentile(rareTimes, 0.5), commonMs: percentile(page, 0.5) };
}

/** A search that has to look into every block: how long it takes, and what it does to everybody else. */
async function beside(lab: Lab, floor: number): Promise<void> {
  const quiet = await healthTimes(lab, 2_000);
  const query = `grep=${encodeURIComponent(expression)}`;
  let done = false;
  const began = performance.now();
  const scan = fetchAll(lab, query).finally(() => {
    done = true;
  });
  const busy = await healthTimes(lab, 60_000, () => done);
  await scan;
  row('an expression that no filter helps with', [performance.now() - began], floor);
  row('  /healthz before', quiet);
  row('  /healthz meanwhile', busy);
  // Who leaves is not worked for.
  const cancelled = request(`${url(lab)}/api/v1/logs?${query}`, { headers: headers(lab) });
  cancelled.on('error', () => undefined).end();
  await sleep(500);
  const working = cpuMs(lab);
  await sleep(500);
  const share = (cpuMs(lab) - working) / 5;
  cancelled.destroy();
  await sleep(200);
  const after = cpuMs(lab);
  await sleep(1_000);
  console.log(
    `  the collector's CPU while it searches ${share.toFixed(0)} % of a core, 0.2 s after the reader has left ${((cpuMs(lab) - after) / 10).toFixed(0)} %`,
  );
}

interface Answer {
  readonly lines: number;
  readonly ms: number;
}

const url = (lab: Lab): string => lab.url;
const headers = (lab: Lab): Record<string, string> => ({ authorization: `Bearer ${readFileSync(lab.operatorTokenFile, 'utf8').trim()}` });

async function fetchAll(lab: Lab, query: string): Promise<Answer> {
  const began = performance.now();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${url(lab)}/api/v1/logs?${query}`, { headers: headers(lab) }, resolve).on('error', reject);
  });
  let lines = 0;
  for await (const piece of response) lines += (piece as Buffer).toString().split('\n').length - 1;
  if (response.statusCode !== 200) throw new Error(`${query} was answered with ${response.statusCode}`);
  return { lines, ms: performance.now() - began };
}

async function command(lab: Lab, args: readonly string[]): Promise<Answer> {
  const began = performance.now();
  const { stdout } = await promisify(execFile)(process.execPath, [programs.relight, ...args], {
    env: { ...process.env, ...lab.operatorEnvironment },
  });
  return { lines: stdout.split('\n').length - 1, ms: performance.now() - began };
}

async function repeat(times: number, once: () => Promise<Answer>, lines: number): Promise<number[]> {
  const found: number[] = [];
  for (let round = 0; round < times; round += 1) {
    const answer = await once();
    if (answer.lines !== lines) throw new Error(`${answer.lines} lines instead of ${lines}`);
    found.push(answer.ms);
  }
  return found;
}

async function healthTimes(lab: Lab, ms: number, ended = () => false): Promise<number[]> {
  const times: number[] = [];
  for (const until = performance.now() + ms; performance.now() < until && !ended();) {
    const began = performance.now();
    await fetch(`${url(lab)}/healthz`).then((response) => response.text());
    times.push(performance.now() - began);
    await sleep(10);
  }
  return times;
}

/** Ticks of 10 ms. */
function cpuMs(lab: Lab): number {
  const fields = readFileSync(`/proc/${lab.collector.pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const seconds = (began: number): string => `${((performance.now() - began) / 1_000).toFixed(1)} s`;

function row(label: string, times: readonly number[], floor?: number): void {
  const [half, most] = [percentile(times, 0.5), Math.max(...times)];
  const figures = times.length === 1 ? `${half.toFixed(0)} ms` : `p50 ${half.toFixed(1)} ms   max ${most.toFixed(1)} ms`;
  console.log(`${label.padEnd(52)} ${figures}${floor === undefined ? '' : `   ${(floor / half).toFixed(1)} times as fast as grep`}`);
}
