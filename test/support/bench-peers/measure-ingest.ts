/** How fast a program for logs takes lines until all of them are on its disk, as small as it makes them. */
import { formatBytes } from '@relight/shared/units';
import { bytesOnDisk, type LogPeer } from './peer.ts';

export interface PeerIngest {
  readonly lines: number;
  readonly linesPerSecond: number;
  /** Of all its threads. */
  readonly cpuUsPerLine: number;
  readonly residentBytes: number;
  readonly storedPerRawByte: number;
}

/** Batches of whole lines. What it takes to bring them into the peer's form is the sender's work and not counted. */
export async function measureIngest(peer: LogPeer, batches: Iterable<readonly Buffer[]>): Promise<PeerIngest> {
  let [lines, raw, sendMs] = [0, 0, 0];
  for (const batch of batches) {
    for (const bytes of batch) {
      raw += bytes.length;
      lines += countLines(bytes);
    }
    const encoded = batch.map((bytes) => peer.encode('mixed', bytes, new Date()));
    const began = performance.now();
    for (const body of encoded) await peer.send(body);
    sendMs += performance.now() - began;
  }
  const began = performance.now();
  await peer.settle();
  const seconds = (sendMs + performance.now() - began) / 1_000;
  return {
    lines,
    linesPerSecond: lines / seconds,
    cpuUsPerLine: (peer.process.cpuMs / lines) * 1_000,
    residentBytes: peer.process.residentBytes,
    storedPerRawByte: bytesOnDisk(peer.directory) / raw,
  };
}

export function printIngest(name: string, ingest: PeerIngest): void {
  const rate = ingest.linesPerSecond.toFixed(0).padStart(9);
  console.log(
    `  ${name.padEnd(28)} ${rate} lines/s, ${ingest.cpuUsPerLine.toFixed(2)} µs of CPU a line, ${formatBytes(ingest.residentBytes)} resident, ` +
      `${ingest.storedPerRawByte.toFixed(3)} bytes on the disk per raw byte`,
  );
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(0x0a); at !== -1; at = bytes.indexOf(0x0a, at + 1)) count += 1;
  return count;
}
