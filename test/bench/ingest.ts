/**
 * Durable lines a second into the collector's store, from blocks as agents send them, of real shapes (log-shapes.ts). Beside it, of
 * the same lines in the same run: one row per line in SQLite, as durable, in the same batches; and what other programs for logs make of
 * them that can be had here, which do the compressing themselves. Then: what sealing makes of the files.
 *
 *   npm run bench -- ingest [THOUSAND_LINES]
 *
 * A block holds 1,000 lines of one of 32 streams; each stream has at most as many blocks on their way as an agent (protocol.ts).
 * Counted from the first block handed to the store to the last acknowledgement.
 */
import Database from 'better-sqlite3';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@relight/shared/clock';
import { BlockBuilder, openBlock, verifyBlock, type Block } from '@relight/shared/log-block';
import { inFlightMax } from '@relight/shared/protocol';
import { formatBytes } from '@relight/shared/units';
import { logDirectory } from '../../packages/collector/src/store/logs/file-names.ts';
import { openStore } from '../../packages/collector/src/store/sqlite-store.ts';
import { eachPeer } from '../support/bench-peers/each-peer.ts';
import { measureIngest, printIngest } from '../support/bench-peers/measure-ingest.ts';
import { logKinds, logShapes } from '../support/log-shapes.ts';

const seed = 20_261_122;
const streams = 32;
const linesPerBlock = 1_000;
const goal = 1_000_000;
/** The row store and the other programs take so many of the lines: they are slower by far. */
const rowShare = 0.2;
/** Blocks whose lines are made into text at a time. */
const batchOfBlocks = 50;
const startMs = Date.UTC(2026, 10, 22, 8);

interface Stream {
  readonly host: string;
  readonly blocks: readonly Block[];
}

export async function run([thousands = '2000']: readonly string[]): Promise<void> {
  const lines = Number(thousands) * 1_000;
  if (!(lines >= streams * linesPerBlock)) throw new Error(`THOUSAND_LINES is a number from ${streams} up`);
  const directory = mkdtempSync(join(tmpdir(), 'relight-bench-ingest-'));
  try {
    const sources = Array.from({ length: streams }, (_, index) => makeStream(index, Math.ceil(lines / streams / linesPerBlock)));
    const blocks = sources.flatMap((source) => source.blocks);
    const raw = blocks.reduce((sum, { header }) => sum + header.rawBytes, 0);
    const total = blocks.length * linesPerBlock;
    console.log(
      `${total} lines of ${(raw / total).toFixed(0)} bytes, ${blocks.length} blocks of ${streams} streams, ${availableParallelism()} cores, ${formatBytes(totalmem())}`,
    );
    const some = blocks.slice(0, Math.ceil(blocks.length * rowShare));
    const rows = rowPerLine(join(directory, 'rows.db'), some);
    const dataDir = join(directory, 'data');
    const store = await openStore({ dataDir, clock: systemClock });
    const began = performance.now();
    await Promise.all(sources.map((source, index) => send(store, `agent-${index}`, source)));
    const rate = total / ((performance.now() - began) / 1_000);
    const sum = (): number =>
      store
        .logPieces({}, { limit: blocks.length + 1 })
        .reduce((all, piece) => all + (piece.kind === 'block' ? openBlock(piece.block).lines : 0), 0);
    if (sum() !== total) throw new Error('not every line is there');
    await store.close();
    row('one row per line in SQLite', rows);
    row('the store, durable', rate);
    console.log(`  ratio ${(rate / rows).toFixed(1)}; ${rate >= goal ? 'reaches' : 'misses'} the goal of ${goal} lines/s`);
    const before = sizeOf(logDirectory(dataDir));
    const seconds = await seal(dataDir);
    const after = sizeOf(logDirectory(dataDir));
    await eachPeer(async (peer) => {
      const ingest = await measureIngest(peer, texts(some));
      printIngest(peer.name, ingest);
      console.log(`  ratio ${(rate / ingest.linesPerSecond).toFixed(1)}`);
    });
    console.log(
      `  files: ${(before / raw).toFixed(4)} bytes per raw byte as sent, ${(after / raw).toFixed(4)} sealed, at ${(total / seconds).toFixed(0)} lines/s beside`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const row = (label: string, rate: number): void => console.log(`  ${label.padEnd(28)} ${rate.toFixed(0).padStart(9)} lines/s`);

function makeStream(index: number, count: number): Stream {
  const kind = logKinds[index % logKinds.length];
  const shapes = logShapes(seed + index, kind === undefined ? {} : { kind });
  const segment = { workload: `trainer-${index % 4}`, generation: 1, source: 'process', run: `run-${index}` };
  let offset = 0;
  const blocks = Array.from({ length: count }, (_, at) => {
    const builder = new BlockBuilder(segment, offset);
    const bytes = Buffer.from(`${shapes.lines(linesPerBlock).join('\n')}\n`);
    builder.addText({ offset, at: startMs + at * 1_000, approx: false, stream: 'both', bytes, lines: linesPerBlock });
    offset += bytes.length;
    return builder.finish(offset);
  });
  return { host: `host-${index >> 2}`, blocks };
}

/** As a session does it: checked, then committed, a few at a time. */
async function send(store: Awaited<ReturnType<typeof openStore>>, agent: string, { host, blocks }: Stream): Promise<void> {
  const under: Promise<unknown>[] = [];
  for (const block of blocks) {
    if (under.length === inFlightMax) await under.shift();
    verifyBlock(block);
    under.push(
      store.commitBlock(agent, host, block, startMs).then((done) => {
        if (!done.stored) throw new Error('a block was not taken');
      }),
    );
  }
  await Promise.all(under);
}

function rowPerLine(path: string, blocks: readonly Block[]): number {
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec('CREATE TABLE lines (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, at INTEGER NOT NULL, line TEXT NOT NULL) STRICT');
  const insert = db.prepare('INSERT INTO lines (stream, at, line) VALUES (?, ?, ?)');
  const batches = blocks.map(linesOf);
  const began = performance.now();
  for (const batch of batches) {
    db.transaction(() => {
      for (const text of batch) insert.run(1, startMs, text);
    }).immediate();
  }
  const seconds = (performance.now() - began) / 1_000;
  db.close();
  return (blocks.length * linesPerBlock) / seconds;
}

function linesOf(block: Block): readonly string[] {
  const open = openBlock(block);
  return Array.from({ length: open.lines }, (_, index) => open.line(index).line);
}

function* texts(blocks: readonly Block[]): Generator<readonly Buffer[]> {
  for (let at = 0; at < blocks.length; at += batchOfBlocks)
    yield blocks.slice(at, at + batchOfBlocks).map((block) => Buffer.from(`${linesOf(block).join('\n')}\n`));
}

/** Seals all files: for this, one more piece of another day makes the last of them rest. */
async function seal(dataDir: string): Promise<number> {
  const store = await openStore({ dataDir, clock: systemClock });
  const [extra] = makeStream(streams, 1).blocks;
  if (extra !== undefined) await store.commitBlock('extra', 'host', extra, startMs + 86_400_000);
  const began = performance.now();
  await store.sealLogs();
  const seconds = (performance.now() - began) / 1_000;
  await store.close();
  return seconds;
}

const sizeOf = (directory: string): number => readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
