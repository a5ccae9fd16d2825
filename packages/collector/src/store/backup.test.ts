import { packBlock, unpackBlock } from '@relight/shared/log-block';
import { ManualClock } from '@relight/shared/manual-clock';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keepUrl, keptUrl } from '../access/public-url.ts';
import { selfSigned } from '../access/self-signed.ts';
import { ownTlsFiles, readTls, tlsFilesOf, writeTls } from '../access/tls-files.ts';
import { backupStore } from './backup.ts';
import { openStore, type SqliteStore } from './sqlite-store.ts';
import { verifyStore } from './verify.ts';

const start = Date.UTC(2026, 10, 22);
const segment = { workload: 'w', generation: 1, source: 'process', run: 'r1' };

let directory: string;
let dataDir: string;
let store: SqliteStore;

async function write(count: number): Promise<void> {
  const from = store.committedOffset('a', segment);
  for (let index = 0; index < count; index += 1) {
    const offset = from + index * 4;
    const line = { offset, at: start, approx: false, stream: 'stdout' as const, bytes: Buffer.from('abc'), truncated: false };
    await store.commitBlock('a', 'h', packBlock(segment, offset, offset + 4, [line]), start);
  }
}

const offsets = (from: SqliteStore): number[] =>
  from
    .logPieces({}, { limit: 1_000 })
    .flatMap((piece) => (piece.kind === 'block' ? unpackBlock(piece.block).map(({ offset }) => offset) : []));

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'relight-backup-'));
  dataDir = join(directory, 'data');
  store = await openStore({ dataDir, clock: new ManualClock(), logFileLimits: { fileBytesMax: 2 ** 30, filePiecesMax: 10 } });
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

it('copies everything while it is written to; what comes of it goes on from where it was', async () => {
  await store.commitEvents('a', 'h', 'e', [{ seq: 1, at: 1, kind: 'host.notice', severity: 'info', message: 'kept', data: {} }], 5);
  await write(25);
  await store.sealLogs();
  const target = join(directory, 'copy');
  const going = write(20);
  const { files } = backupStore(dataDir, target);
  expect(files).toBeGreaterThanOrEqual(4);
  expect(statSync(target).mode & 0o777).toBe(0o700);
  await going;
  await store.close();
  store = await openStore({ dataDir: target, clock: new ManualClock() });
  const committed = store.committedOffset('a', segment);
  expect(committed).toBeGreaterThanOrEqual(100);
  expect(offsets(store)).toEqual(Array.from({ length: committed / 4 }, (_, index) => index * 4));
  expect(store.lastEventSeq('a', 'e')).toBe(1);
  await write(1);
  expect(offsets(store).at(-1)).toBe(committed);
  expect([...verifyStore(target)].flatMap(({ problems }) => problems)).toEqual([]);
});

it('copies the key that agents know the collector by, and the address that they have of it, so that what is restored is the same collector', async () => {
  const life = { notBefore: start, notAfter: start + 86_400_000 };
  writeTls(ownTlsFiles(dataDir), await selfSigned({ names: ['localhost'], keyPem: null, ...life }));
  keepUrl(dataDir, 'https://collector.example:7460');
  const target = join(directory, 'copy');
  backupStore(dataDir, target);
  expect(keptUrl(target)).toBe('https://collector.example:7460');
  expect(tlsFilesOf({ dataDir: target, tls: null })).toEqual(ownTlsFiles(target));
  const { cert, key } = readTls(ownTlsFiles(dataDir));
  expect(readTls(ownTlsFiles(target))).toMatchObject({ cert, key });
  expect(statSync(ownTlsFiles(target).keyFile).mode & 0o777).toBe(0o600);
  expect(statSync(join(target, 'tls')).mode & 0o777).toBe(0o700);
  // Both are lost while the service goes on with what it has read: restored, that must not go on as plain HTTP.
  rmSync(join(dataDir, 'tls'), { recursive: true });
  const later = join(directory, 'later');
  backupStore(dataDir, later);
  expect(tlsFilesOf({ dataDir: later, tls: null })).toEqual(ownTlsFiles(later));
});

it('copies what is damaged as it is, and everything else as ever', async () => {
  await write(25);
  await store.close();
  const damage = (name: string, at: number): void => {
    const fd = openSync(join(dataDir, 'logs', name), 'r+');
    writeSync(fd, Buffer.alloc(8_192, 0x5a), 0, 8_192, at);
    closeSync(fd);
  };
  // The first page of bodies.
  damage('2026-11-22.2.db', 7 * 8_192);
  damage('2026-11-22.3.db', 7 * 8_192);
  const target = join(directory, 'copy');
  expect(backupStore(dataDir, target).files).toBe(4);
  damage('2026-11-22.2.db', 0);
  const second = join(directory, 'second');
  expect(backupStore(dataDir, second).files).toBe(4);
  store = await openStore({ dataDir: target, clock: new ManualClock() });
  const pieces = store.logPieces({}, { limit: 1_000 });
  expect(pieces.map(({ id }) => id)).toEqual(Array.from({ length: 25 }, (_, index) => index + 1));
  expect(store.committedOffset('a', segment)).toBe(100);
  await store.close();
  store = await openStore({ dataDir: second, clock: new ManualClock() });
  expect(store.logPieces({}, { limit: 1_000 }).map(({ id }) => id)).toHaveLength(15);
});

it('takes no directory that holds something, and leaves nothing half done', async () => {
  await write(1);
  mkdirSync(join(directory, 'full'));
  writeFileSync(join(directory, 'full', 'mine'), '');
  expect(() => backupStore(dataDir, join(directory, 'full'))).toThrow(/full is not empty/);
  writeFileSync(join(directory, 'file'), '');
  expect(() => backupStore(dataDir, join(directory, 'file', 'copy'))).toThrow(/cannot be copied to/);
  expect(existsSync(join(directory, 'full', 'mine'))).toBe(true);
  expect(readdirSync(directory).toSorted()).toEqual(['data', 'file', 'full']);
});

it('what is damaged is named, file by file', async () => {
  await write(25);
  await store.sealLogs();
  expect([...verifyStore(dataDir)].map(({ file, lines, problems }) => [file, lines, problems])).toEqual([
    ['relight.db', 0, []],
    ['logs/2026-11-22.sealed.db', 10, []],
    ['logs/2026-11-22.2.sealed.db', 10, []],
    ['logs/2026-11-22.3.db', 5, []],
  ]);
  const bodies = 7 * 8_192;
  const fd = openSync(join(dataDir, 'logs', '2026-11-22.2.sealed.db'), 'r+');
  const { size } = statSync(join(dataDir, 'logs', '2026-11-22.2.sealed.db'));
  // The end of the page of bodies, where the first body stands.
  writeSync(fd, Buffer.alloc(20, 0x5a), 0, 20, Math.min(size, bodies + 8_192) - 40);
  closeSync(fd);
  const damaged = [...verifyStore(dataDir)].filter(({ problems }) => problems.length > 0);
  expect(damaged).toMatchObject([{ file: 'logs/2026-11-22.2.sealed.db', problems: ['piece 20: its checksum is wrong'] }]);
});
