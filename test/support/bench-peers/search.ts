/** The same lines and the same two questions for the other programs: a rare word, and the first page of a common one. */
import { logShapes } from '../log-shapes.ts';
import { median } from '../statistics.ts';
import { eachPeer } from './each-peer.ts';
import type { LogPeer } from './peer.ts';

interface Asked {
  readonly seed: number;
  readonly hosts: number;
  readonly linesPerHost: number;
  /** In one line, of one host. */
  readonly rare: string;
  readonly line: Buffer;
  readonly common: string;
  /** What Relight needed for the two, in milliseconds. */
  readonly rareMs: number;
  readonly commonMs: number;
}

const rounds = 5;

/** Prints how much longer than Relight each of them takes; or why it cannot be had. */
export async function searchPeers(asked: Asked): Promise<void> {
  await eachPeer(async (peer) => {
    await fill(peer, asked);
    const rareMs = await ask(peer, asked.rare, 1);
    const commonMs = await ask(peer, asked.common, 100);
    console.log(`${peer.name}: rare word ${figure(rareMs, asked.rareMs)}; 100 of a common word ${figure(commonMs, asked.commonMs)}`);
  });
}

const figure = (ms: number, relightMs: number): string => `${ms.toFixed(1)} ms, ${(ms / relightMs).toFixed(2)} times as long as Relight`;

async function fill(peer: LogPeer, { hosts, line, linesPerHost, seed }: Asked): Promise<void> {
  for (let host = 0; host < hosts; host += 1) {
    const at = new Date(Date.now() - 3_600_000);
    for (const { bytes } of logShapes(seed).chunks(linesPerHost)) await peer.send(peer.encode(`host-${host}`, bytes, at));
    if (host === Math.floor(hosts / 3)) await peer.send(peer.encode(`host-${host}`, line, at));
  }
  await peer.settle();
}

/** The median. */
async function ask(peer: LogPeer, word: string, expected: number): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const began = performance.now();
    const found = await peer.search(word, 100);
    if (found !== expected) throw new Error(`${peer.name} found ${found} lines with ${word} instead of ${expected}`);
    times.push(performance.now() - began);
  }
  return median(times);
}
