/**
 * What other programs for logs do with the same lines on this machine: rsyslog from Debian, VictoriaLogs. The floor that ingest and search
 * are measured against.
 *
 *   npm run bench -- peers [LINES]
 *
 * Ingest is until everything is on the disk. The rare word is an id that two or three lines hold.
 */
import { availableParallelism, loadavg, totalmem } from 'node:os';
import { formatBytes } from '@relight/shared/units';
import { eachPeer } from '../support/bench-peers/each-peer.ts';
import { measureIngest, printIngest } from '../support/bench-peers/measure-ingest.ts';
import type { LogPeer } from '../support/bench-peers/peer.ts';
import { logShapes } from '../support/log-shapes.ts';

const seed = 20_261_122;
const linesPerRound = 200_000;

export async function run([count = '1000000']: readonly string[]): Promise<void> {
  const lines = Number(count);
  if (!(lines >= linesPerRound)) throw new Error(`LINES is a number from ${linesPerRound} up`);
  const [load = 0] = loadavg();
  console.log(`${lines} lines, ${availableParallelism()} cores, ${formatBytes(totalmem())}, load ${load.toFixed(1)}`);
  await eachPeer((peer) => measure(peer, lines));
}

async function measure(peer: LogPeer, lines: number): Promise<void> {
  const rare = { word: '' };
  printIngest(peer.name, await measureIngest(peer, batches(lines, rare)));
  for (const word of [rare.word, 'preempted']) {
    const asked = performance.now();
    const found = await peer.search(word, 100);
    console.log(`    ${word}: the first ${found} lines in ${Math.round(performance.now() - asked)} ms`);
  }
}

/** Made as they are sent. `rare`: is given the first id that comes by. */
function* batches(lines: number, rare: { word: string }): Generator<readonly Buffer[]> {
  const shapes = logShapes(seed);
  for (let left = lines; left > 0; left -= linesPerRound) {
    const chunks = [...shapes.chunks(Math.min(left, linesPerRound))].map(({ bytes }) => bytes);
    for (const bytes of chunks) if (rare.word === '') rare.word = /chatcmpl-[0-9a-f]{32}/.exec(bytes.toString())?.[0] ?? '';
    yield chunks;
  }
}
