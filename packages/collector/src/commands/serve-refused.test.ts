/** A service that cannot start ends by itself, says why, and leaves the data directory to the next one. */
import SqliteDatabase from 'better-sqlite3';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { selfSigned } from '../access/self-signed.ts';
import { ownTlsFiles, writeTls, type OwnTlsFiles } from '../access/tls-files.ts';
import { databasePath, lockDataDir } from '../store/database.ts';
import { CollectorBench, type Ended } from './collector-process.test-data.ts';

const dayMs = 86_400_000;
let bench: CollectorBench;
beforeEach(() => {
  bench = new CollectorBench();
  bench.configure('');
});
afterEach(() => bench[Symbol.asyncDispose]());

/** As under the unit; one that does not end is the failure of the test. */
const serve = (): Promise<Ended> => bench.collector(['serve', '--config', bench.configFile]);
const leavesTheLock = (): void => lockDataDir(bench.dataDir, 0).release();

async function certify(): Promise<OwnTlsFiles> {
  const files = ownTlsFiles(bench.dataDir);
  const now = Date.now();
  writeTls(files, await selfSigned({ names: ['127.0.0.1'], keyPem: null, notBefore: now - dayMs, notAfter: now + dayMs }));
  return files;
}

test.each(['certFile', 'keyFile'] as const)('without %s', async (one) => {
  const files = await certify();
  rmSync(files[one]);
  const { code, out, err } = await serve();
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toMatch(new RegExp(`^relight-collector: tls\\.\\w+: ${files[one]} cannot be read: ENOENT`, 'm'));
  leavesTheLock();
});

test('without a certificate that it had, also of an older version: a new key brings it back, and is told as one', async () => {
  const { certFile, keyFile, madeMark } = await certify();
  // Older versions have left no mark; the first start with them does.
  rmSync(madeMark);
  const first = await bench.serve();
  expect(first.url).toMatch(/^https:/);
  await first.stop();
  const before = readFileSync(keyFile, 'utf8');
  rmSync(dirname(keyFile), { recursive: true });
  const { code, err } = await serve();
  expect(code).toBe(2);
  expect(err).toContain(`tls.cert_file: ${certFile} cannot be read: ENOENT`);
  expect(err).toContain('relight-collector certificate renew --new-key');
  const renew = ['certificate', 'renew', '--config', bench.configFile];
  expect(await bench.collector(renew)).toMatchObject({ code: 2, out: '' });
  const made = await bench.collector([...renew, '--new-key', '--name', 'other.example', '--json']);
  expect(made).toMatchObject({ code: 0, err: '' });
  const { keyFingerprint, names, note } = JSON.parse(made.out) as Record<string, string>;
  expect(names).toContain('DNS:other.example');
  expect(note).toContain(`--fingerprint ${keyFingerprint}`);
  expect(readFileSync(keyFile, 'utf8')).not.toBe(before);
  const again = await bench.serve();
  expect(again.url).toMatch(/^https:/);
  await again.stop();
});

test('one that never had a certificate, behind a proxy, is given none by --new-key: nobody could reach it any more', async () => {
  bench.configure('listen: 127.0.0.1:0\n');
  const first = await bench.serve();
  expect(first.url).toMatch(/^http:/);
  await first.stop();
  const { code, err } = await bench.collector(['certificate', 'renew', '--config', bench.configFile, '--new-key']);
  expect(code).not.toBe(0);
  expect(err).toContain('this collector has no certificate');
  expect(existsSync(ownTlsFiles(bench.dataDir).madeMark)).toBe(false);
});

test('with the key of another certificate', async () => {
  const { keyFile, certFile } = await certify();
  const other = readFileSync(keyFile);
  await certify();
  writeFileSync(keyFile, other);
  const { code, err } = await serve();
  expect(code).toBe(2);
  expect(err).toContain(`the key in ${keyFile} does not belong to the certificate in ${certFile}`);
  leavesTheLock();
});

test('with a port that somebody else has', async () => {
  const other = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  bench.configure(`listen: 127.0.0.1:${port}\n`);
  const { code, err } = await serve();
  other.close();
  expect(code).toBe(2);
  expect(err).toContain(`relight-collector: 127.0.0.1:${port} is in use already`);
  leavesTheLock();
});

test('with a store in which something cannot be read', async () => {
  await (await bench.serve()).stop();
  const db = new SqliteDatabase(databasePath(bench.dataDir));
  db.prepare("INSERT INTO hosts (name, record) VALUES ('h', '{')").run();
  db.close();
  const { code, err } = await serve();
  expect(code).toBe(1);
  expect(err).toContain('JSON');
  leavesTheLock();
});
