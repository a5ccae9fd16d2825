/** kill -9 while logs are moved out of an older database, and while the maintenance thread seals log files. */
import { packBlock, unpackBlock } from '@relight/shared/log-block';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fc from 'fast-check';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openForReading, openForWriting } from './database.ts';
import { openLogReader } from './logs/reader.ts';
import { migrate, migrations, schemaVersion } from './migrate.ts';
import { verifyStore } from './verify.ts';

const start = Date.UTC(2026, 10, 20, 12);
const days = 4;
const piecesADay = 120;
const runs = 12;
const segmentOf = (run: number) => ({ workload: 'w', generation: 1, source: 'process', run: `r${run}` });

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-crash-upkeep-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A database as it was before there were log files; returns the lines in it. */
function older(dataDir: string): string[] {
  const db = openForWriting(dataDir);
  db.pragma('synchronous = OFF');
  migrate(db, 1, migrations.slice(0, 2));
  const put = db.prepare(
    `INSERT INTO log_pieces (kind, received_at, host, workload, generation, source, run, first_at, last_at, bytes, header, body)
     VALUES ('block', ?, 'h', 'w', 1, 'process', ?, 1, 1, 1, ?, ?)`,
  );
  const ends = Array.from({ length: runs }, () => 0);
  const texts: string[] = [];
  for (let index = 0; index < days * piecesADay; index += 1) {
    const run = index % runs;
    const offset = ends[run] ?? 0;
    const text = `${index} `.repeat(40);
    const at = start + Math.floor(index / piecesADay) * 86_400_000 + index;
    const line = { offset, at, approx: false, stream: 'stdout' as const, bytes: Buffer.from(text), truncated: false };
    const { header, body } = packBlock(segmentOf(run), offset, offset + text.length + 1, [line]);
    put.run(at, `r${run}`, JSON.stringify(header), body);
    ends[run] = header.to;
    texts.push(text);
  }
  for (const [run, end] of ends.entries()) db.prepare(`INSERT INTO segments VALUES ('a', 'w', 1, 'process', ?, ?, 1)`).run(`r${run}`, end);
  db.close();
  return texts.toSorted();
}

const namesIn = (dataDir: string): string[] =>
  readdirSync(join(dataDir, 'logs'))
    .filter((name) => !/-(?:wal|shm)$/.test(name))
    .toSorted();

/** Runs the victim, kills it so long after it has said `word`; what it said. Never killed: `word` is null. */
async function run(dataDir: string, word: 'opening' | 'sealing' | null, ms = 0): Promise<readonly string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash-upkeep.ts'), dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said: string[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    said.push(line);
    if (line === word) setTimeout(() => child.kill('SIGKILL'), ms);
  });
  await Promise.all([once(child, 'exit'), once(lines, 'close')]);
  return said;
}

/** Every line that can be read, each as often as it is there, and the marks. */
function stored(dataDir: string): { lines: string[]; marks: number[] } {
  const reader = openLogReader(dataDir);
  const pieces = reader.logPieces({}, { limit: 1_000_000 });
  const marks = Array.from({ length: runs }, (_, index) => reader.committedOffset('a', segmentOf(index)));
  reader.close();
  const lines = pieces.flatMap((piece) => (piece.kind === 'block' ? unpackBlock(piece.block).map(({ line }) => line) : ['a gap']));
  return { lines: lines.toSorted(), marks };
}

/** The lines that are still in relight.db; null: they have been moved out of it, all of them. */
function notMoved(dataDir: string): string[] | null {
  const db = openForReading(dataDir);
  try {
    if (schemaVersion(db) >= 3) return null;
    const rows = db.prepare<[], { header: string; body: Buffer }>('SELECT header, body FROM log_pieces').all();
    return rows.flatMap(({ header, body }) => unpackBlock({ header: JSON.parse(header), body }).map(({ line }) => line)).toSorted();
  } finally {
    db.close();
  }
}

it('loses nothing and doubles nothing, whenever it is killed', async () => {
  const fresh = join(directory, 'fresh');
  mkdirSync(fresh);
  const lines = older(fresh);
  const killsAt = (word: 'opening' | 'sealing', upTo: number) =>
    fc.sample(fc.noBias(fc.integer({ min: 0, max: upTo })), 4).map((ms) => [word, ms] as const);
  const kills = [...killsAt('opening', 40), ...killsAt('sealing', 200)];
  for (const [word, ms] of kills) {
    const killed = `${word} + ${ms} ms`;
    const said = await run(fresh, word, ms);
    // What has not arrived as a whole is still where it was.
    expect({ killed, said, lines: notMoved(fresh) ?? stored(fresh).lines }).toEqual({ killed, said, lines });
  }
  expect(await run(fresh, null)).toEqual(['opening', 'sealing', 'sealed']);
  const { lines: read, marks } = stored(fresh);
  expect(read).toEqual(lines);
  expect(marks.every((mark) => mark > 0)).toBe(true);
  expect([...verifyStore(fresh)].flatMap(({ problems }) => problems)).toEqual([]);
  expect(namesIn(fresh)).toEqual([...[20, 21, 22].map((day) => `2026-11-${day}.sealed.db`), '2026-11-23.db']);
}, 300_000);
