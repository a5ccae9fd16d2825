import { unpackBlock } from '@relight/shared/log-block';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, it } from 'vitest';
import { openForReading } from './database.ts';
import { eventReads } from './events-store.ts';
import { openLogReader } from './logs/reader.ts';

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

const agentId = 'agent';
const segment = { workload: 'w', generation: 1, source: 'process', run: 'r' };

/** Lets a writer work until it has been acknowledged `commits` times, kills it with -9, returns the highest it was promised. */
async function crash(dataDir: string, filePieces: number, commits: number): Promise<{ seq: number; offset: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash-writer.ts'), dataDir, agentId, String(filePieces)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const promised = { seq: 0, offset: 0 };
  let left = commits;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const [what, value] = line.split(' ');
    if (what === 'seq' || what === 'offset') promised[what] = Math.max(promised[what], Number(value));
    left -= 1;
    if (left === 0) child.kill('SIGKILL');
  });
  const [[, signal]] = await Promise.all([once(child, 'exit'), once(lines, 'close')]);
  if (signal !== 'SIGKILL') throw new Error('the writer ended by itself');
  return promised;
}

const cases: readonly (readonly [string, number])[] = [
  ['in one log file', 200_000],
  ['while it begins a new log file with nearly every commit', 2],
];
it.each(cases)(
  'keeps what it acknowledged, once, however often it is killed: %s',
  async (_, filePieces) => {
    const dataDir = mkdtempSync(join(tmpdir(), 'relight-crash-'));
    directories.push(dataDir);
    const random = fc.sample(fc.integer({ min: 1, max: 300 }), 6);
    let promised = { seq: 0, offset: 0 };
    for (const commits of random) {
      const now = await crash(dataDir, filePieces, commits);
      promised = { seq: Math.max(promised.seq, now.seq), offset: Math.max(promised.offset, now.offset) };
      const db = openForReading(dataDir);
      const seq = eventReads(db).lastEventSeq(agentId, 'e');
      const logs = openLogReader(dataDir);
      const offset = logs.committedOffset(agentId, segment);
      const stored = eventReads(db).events({ limit: 1_000_000 });
      const pieces = logs.logPieces({}, { limit: 1_000_000 });
      logs.close();
      db.close();
      expect({ random, kept: seq >= promised.seq && offset >= promised.offset }).toEqual({ random, kept: true });
      expect(stored.map(({ message }) => Number(message))).toEqual(Array.from({ length: seq }, (_, index) => index + 1));
      const offsets = pieces.map((piece) => (piece.kind === 'block' ? unpackBlock(piece.block)[0]?.offset : -1));
      expect(offsets).toEqual(Array.from({ length: offset / 1_000 }, (_, index) => index * 1_000));
    }
  },
  // Node is started and killed six times.
  300_000,
);
