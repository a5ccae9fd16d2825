/**
 * Stored bytes per byte of log, of real shapes (log-shapes.ts): as agents send them, and after small blocks were merged. Beside
 * it, of the same lines: one row per line in SQLite, the whole file through gzip, as logrotate leaves it, and a MiB of bare text
 * at zstd's slowest level, which says how much of it cannot be had by any means: random ids stay what they are.
 *
 *   npm run bench -- storage [THOUSAND_LINES]
 *
 * An agent's block holds two seconds of 1,000 lines/s, times of 100 ms. Counted are header, body and token filter of every
 * block, not the pages of the database around them.
 */
import Database from 'better-sqlite3';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { blockRawBytesMax, BlockBuilder, mergeBlocks, type Block } from '@relight/shared/log-block';
import { formatBytes } from '@relight/shared/units';
import { logKinds, logShapes } from '../support/log-shapes.ts';

const seed = 20_261_122;
const linesPerSecond = 1_000;
const blockMs = 2_000;
const stepMs = 100;
const startMs = Date.UTC(2026, 10, 22, 8);
const mergedLevel = 9;
const goal = 0.12;

interface Sizes {
  readonly stored: number;
  readonly filters: number;
}

export function run([thousands = '200']: readonly string[]): Promise<void> {
  const lines = Number(thousands) * 1_000;
  if (!(lines >= 1_000)) throw new Error('THOUSAND_LINES is a number from 1 up');
  console.log(`stored bytes per raw byte, ${lines} lines of each, ${availableParallelism()} cores, ${formatBytes(totalmem())}`);
  console.log(
    `  ${'kind'.padEnd(22)} ${'raw'.padStart(9)} ${'a line'.padStart(7)}  as sent  merged  filters  zstd -19   gzip -6  row a line`,
  );
  let [raw, merged] = [0, 0];
  for (const kind of logKinds) {
    const { text, sizes } = measure(kind, lines, logShapes(seed, { kind }).lines(lines), 'raw');
    raw += text;
    merged += sizes.stored;
  }
  measure('mixed in one stream', lines, logShapes(seed).lines(lines), 'raw');
  measure("engine's json-file", lines, logShapes(seed).lines(lines), 'json-file');
  console.log(`  all kinds, each its own stream, merged: ${(merged / raw).toFixed(4)} (goal ${goal})`);
  return Promise.resolve();
}

function measure(name: string, count: number, lines: readonly string[], format: 'raw' | 'json-file'): { text: number; sizes: Sizes } {
  const text = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const sent = blocksOf(lines, format);
  const merged = merge(sent);
  const share = (bytes: number): string => (bytes / text.length).toFixed(4);
  const [asSent, sizes] = [sizesOf(sent), sizesOf(merged)];
  console.log(
    `  ${name.padEnd(22)} ${formatBytes(text.length).padStart(9)} ${(text.length / count).toFixed(0).padStart(5)} B   ${share(asSent.stored)}  ` +
      `${share(sizes.stored)}   ${share(sizes.filters)}    ${slowest(text).toFixed(4)}    ${share(gzipSync(text).length)}      ${share(rowPerLine(lines))}`,
  );
  return { text: text.length, sizes };
}

/** As an agent makes them. In the engine's file every line has a time and some bytes around it. */
function blocksOf(lines: readonly string[], format: 'raw' | 'json-file'): Block[] {
  const segment = { workload: 'trainer', generation: 3, source: format === 'raw' ? 'process' : 'container', run: '1f6c2a90b7d4' } as const;
  const [perBlock, perStep] = [(linesPerSecond * blockMs) / 1_000, (linesPerSecond * stepMs) / 1_000];
  const blocks: Block[] = [];
  let offset = 0;
  for (let from = 0; from < lines.length; from += perBlock) {
    const builder = new BlockBuilder(segment, offset);
    const ofBlock = lines.slice(from, from + perBlock);
    for (let index = 0; index < ofBlock.length; index += format === 'raw' ? perStep : 1) {
      const at = startMs + Math.floor(((from + index) * 1_000) / linesPerSecond);
      if (format === 'raw') {
        const step = ofBlock.slice(index, index + perStep);
        const bytes = Buffer.from(step.map((line) => `${line}\n`).join(''));
        builder.addText({ offset, at, approx: false, stream: 'both', bytes, lines: step.length });
        offset += bytes.length;
      } else {
        const line = ofBlock[index] ?? '';
        builder.addLine({ offset, at, approx: false, stream: 'stderr', bytes: Buffer.from(line), truncated: false });
        offset += JSON.stringify({ log: `${line}\n`, stream: 'stderr', time: new Date(at).toISOString() }).length + 1;
      }
    }
    blocks.push(builder.finish(offset));
  }
  return blocks;
}

function merge(blocks: readonly Block[]): Block[] {
  const merged: Block[] = [];
  let group: Block[] = [];
  let bytes = 0;
  for (const block of blocks) {
    if (bytes + block.header.rawBytes > blockRawBytesMax && group.length > 0) {
      merged.push(mergeBlocks(group, mergedLevel));
      [group, bytes] = [[], 0];
    }
    group.push(block);
    bytes += block.header.rawBytes;
  }
  return [...merged, mergeBlocks(group, mergedLevel)];
}

function sizesOf(blocks: readonly Block[]): Sizes {
  const stored = blocks.reduce((sum, { header, body }) => sum + body.length + JSON.stringify(header).length, 0);
  return { stored, filters: blocks.reduce((sum, { header }) => sum + (header.filterBytes ?? 0), 0) };
}

function slowest(text: Buffer): number {
  const piece = text.subarray(0, blockRawBytesMax);
  return zstdCompressSync(piece, { params: { [constants.ZSTD_c_compressionLevel]: 19 } }).length / piece.length;
}

/** Time, stream and text, nothing else, no index. */
function rowPerLine(lines: readonly string[]): number {
  const directory = mkdtempSync(join(tmpdir(), 'relight-storage-'));
  const path = join(directory, 'rows.db');
  const db = new Database(path);
  try {
    db.exec('CREATE TABLE lines (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, stream INTEGER NOT NULL, line TEXT NOT NULL)');
    const insert = db.prepare('INSERT INTO lines (at, stream, line) VALUES (?, ?, ?)');
    db.transaction(() => lines.forEach((line, index) => insert.run(startMs + index, 1, line)))();
    return statSync(path).size;
  } finally {
    db.close();
    rmSync(directory, { recursive: true });
  }
}
