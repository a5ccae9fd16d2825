/**
 * What other programs for logs do with the same lines on this machine: rsyslog from Debian, VictoriaLogs. The floor that ingest and search
 * are measured against.
 *
 *   npm run bench -- peers [LINES]
 *
 * Ingest is until everything is on the disk. The rare word is an id that two or three lines hold.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { formatBytes } from '@relight/shared/units';
import { bytesOnDisk, type LogPeer } from '../support/bench-peers/peer.ts';
import { startRsyslog } from '../support/bench-peers/rsyslog.ts';
import { startVictoriaLogs } from '../support/bench-peers/victoria-logs.ts';
import { logShapes } from '../support/log-shapes.ts';

const seed = 20_261_122;
const linesPerRound = 200_000;

export async function run([count = '1000000']: readonly string[]): Promise<void> {
  const lines = Number(count);
  if (!(lines >= linesPerRound)) throw new Error(`LINES is a number from ${linesPerRound} up`);
  const [load = 0] = loadavg();
  console.log(`${lines} lines, ${availableParallelism()} cores, ${formatBytes(totalmem())}, load ${load.toFixed(1)}`);
  for (const start of [startRsyslog, startVictoriaLogs]) {
    const directory = mkdtempSync(join(tmpdir(), 'relight-peers-'));
    try {
      await using peer = await start(directory);
      await measure(peer, lines);
    } catch (error) {
      console.log(`  not measured: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

async function measure(peer: LogPeer, lines: number): Promise<void> {
  const shapes = logShapes(seed);
  let [raw, sendMs, rare] = [0, 0, ''];
  for (let left = lines; left > 0; left -= linesPerRound) {
    const chunks = [...shapes.chunks(Math.min(left, linesPerRound))];
    for (const { bytes } of chunks) {
      raw += bytes.length;
      rare = rare === '' ? (/chatcmpl-[0-9a-f]{32}/.exec(bytes.toString())?.[0] ?? '') : rare;
    }
    const encoded = chunks.map(({ bytes }) => peer.encode('mixed', bytes, new Date()));
    const began = performance.now();
    for (const body of encoded) await peer.send(body);
    sendMs += performance.now() - began;
  }
  const began = performance.now();
  await peer.settle();
  const perSecond = Math.round((lines / (sendMs + performance.now() - began)) * 1_000);
  const cpu = (peer.process.cpuMs / lines) * 1_000;
  console.log(
    `${peer.name}: ${perSecond} lines/s, ${cpu.toFixed(2)} µs of CPU a line, ${formatBytes(peer.process.residentBytes)} resident`,
  );
  console.log(`  ${(bytesOnDisk(peer.directory) / raw).toFixed(3)} bytes on the disk per raw byte`);
  for (const word of [rare, 'preempted']) {
    const asked = performance.now();
    const found = await peer.search(word, 100);
    console.log(`  ${word}: the first ${found} lines in ${Math.round(performance.now() - asked)} ms`);
  }
}
