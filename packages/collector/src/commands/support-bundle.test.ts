/** `relight-collector support-bundle` as a person has it: the program itself, beside a service that runs, does not, or cannot. */
import { systemClock } from '@relight/shared/clock';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from '../../../../test/support/ports.ts';
import { selfSigned } from '../access/self-signed.ts';
import { ownTlsFiles, writeTls } from '../access/tls-files.ts';
import { openStore } from '../store/sqlite-store.ts';

const main = join(import.meta.dirname, '..', 'main.ts');
const secret = 'Planted-In-A-Webhook-42';

let directory: string;
let dataDir: string;
let config: string;
let bundle: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-collector-bundle-'));
  dataDir = join(directory, 'data');
  config = join(directory, 'collector.yaml');
  bundle = join(directory, 'b.tar.gz');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

function start(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream } {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  return child;
}
async function run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<{ code: number | null; out: string; err: string }> {
  const child = start(args, env);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit') as Promise<[number | null]>]);
  return { code, out, err };
}

const configure = (port: number, more = ''): void =>
  writeFileSync(
    config,
    `version: 1\nlisten: 127.0.0.1:${port}\ndata_dir: ${dataDir}\nalerts: {sinks: [{type: webhook, url: "http://robot:${secret}@127.0.0.1:9/?to=ops"}]}\n${more}`,
  );
const makeBundle = (env?: NodeJS.ProcessEnv) => run(['support-bundle', '--config', config, '-o', bundle], env);
const entry = (name: string): string => execFileSync('tar', ['-xzOf', bundle, `b/${name}`], { encoding: 'utf8', maxBuffer: 64 << 20 });
const document = (name: string): Record<string, unknown> => JSON.parse(entry(name)) as Record<string, unknown>;
const missing = (): readonly { name: string; reason: string }[] =>
  document('manifest.json')['missing'] as { name: string; reason: string }[];
const reasonOf = (name: string): string => missing().find((one) => one.name === name)?.reason ?? '';

/** As systemd's own: they say what they were asked with. */
function pretendSystemd(): NodeJS.ProcessEnv {
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  const tool = (name: string, line: string): void => {
    writeFileSync(join(bin, name), `#!/bin/sh\necho "${line} $*"\n`);
    chmodSync(join(bin, name), 0o755);
  };
  tool('systemctl', 'ActiveState=failed');
  tool('journalctl', `cannot reach http://robot:${secret}@127.0.0.1:9 with Bearer abcdef0123456789`);
  return { PATH: `${bin}:${process.env['PATH']}` };
}

const sumsOf = (path: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((file) => file.isFile() && !file.name.endsWith('-shm'))
      .map(({ parentPath, name }) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(parentPath, name)))
          .digest('hex'),
      ]),
  );

test('of one that does not start: what is known of its machine, file, store, certificate, tokens and unit; nothing that is secret', async () => {
  const port = await freePort();
  configure(port);
  const made = await run(['init', '--json', '--config', config, '--url', `https://127.0.0.1:${port}`]);
  const { operatorToken, joinToken } = JSON.parse(made.out) as { operatorToken: string; joinToken: string };
  const files = ownTlsFiles(dataDir);
  const past = { notBefore: Date.parse('2024-01-01'), notAfter: Date.parse('2025-01-01') };
  writeTls(files, await selfSigned({ names: ['collector.example'], keyPem: readFileSync(files.keyFile, 'utf8'), ...past }));
  writeFileSync(join(dataDir, 'relight.db.before-4'), 'a copy');
  configure(port, 'retension: {}\n');

  const { code, out, err } = await makeBundle(pretendSystemd());
  expect({ code, out }).toEqual({ code: 0, out: `${bundle}\n` });
  expect(statSync(bundle).mode & 0o777).toBe(0o600);
  expect(err).toMatch(/^in it: README\.txt, /);
  expect(err).toMatch(/^left out: metrics\.txt: only operators/m);
  expect(err).toMatch(/look through it before you send it: tar -tzf .*\n$/);

  expect(entry('config-check.txt')).toMatch(/NOT VALID\n.*retension: unknown key/);
  expect(document('host.json')).toMatchObject({ node: process.version, cpus: expect.any(Number) as number });
  expect(document('disk.json')).toMatchObject({ directory: dataDir, inodesFree: expect.any(Number) as number });
  expect(document('files.json')).toMatchObject({
    copiesBeforeMigrations: ['relight.db.before-4'],
    files: expect.arrayContaining([expect.objectContaining({ file: 'tls/key.pem', mode: '100600' })]) as unknown[],
  });
  expect(document('store.json')).toMatchObject({ schema: document('store.json')['schemaOfThisProgram'], journalMode: 'wal' });
  expect(entry('check.txt')).toMatch(/^relight\.db {2}ok {2}\(\d+ ms\)$/m);
  expect(document('certificate.json')).toMatchObject({
    scheme: 'https',
    usable: expect.stringMatching(/^yes/) as string,
    certificate: { valid: 'expired', notAfter: '2025-01-01T00:00:00.000Z', subjectAltName: 'DNS:collector.example' },
  });
  expect(document('access.json')).toMatchObject({ counts: { 'join, valid': 1, 'operator, valid': 1 } });
  expect(JSON.parse(entry('audit.json'))).toMatchObject([{ action: 'collector.init', outcome: 'done', count: 1 }]);
  expect(document('listening.json')).toMatchObject({ healthz: [{ error: expect.stringContaining('ECONNREFUSED') as string }] });
  expect(entry('service.txt')).toMatch(/^ActiveState=failed show relight-collector\.service/);
  expect(entry('journal.txt')).toContain('cannot reach http://');

  const all = execFileSync('tar', ['-xzOf', bundle]);
  const key = readFileSync(files.keyFile, 'utf8').split('\n').slice(1, -2);
  const hash = createHash('sha256').update(operatorToken).digest();
  for (const planted of [secret, operatorToken, joinToken, ...key, hash.toString('hex'), hash.toString('base64'), 'abcdef0123456789'])
    expect([planted, all.includes(planted)]).toEqual([planted, false]);
});

test('of one that runs: it answers, holds its port, and does not notice; what is stored is as it was', async () => {
  const port = await freePort();
  configure(port);
  const service = start(['serve', '--config', config]);
  let log = '';
  for await (const chunk of service.stderr) {
    log += String(chunk);
    if (log.includes('"msg":"listening on')) break;
  }
  const before = sumsOf(dataDir);
  expect((await makeBundle()).code).toBe(0);
  expect(sumsOf(dataDir)).toEqual(before);
  expect(document('certificate.json')).toEqual({ scheme: 'http', certificate: null });
  expect(document('listening.json')).toMatchObject({
    heldBy: expect.stringMatching(new RegExp(`\\(pid ${service.pid}\\)$`)) as string,
    healthz: [{ status: 200, body: '{"status":"ok"}' }],
  });
  const { files } = document('files.json') as { files: { file: string }[] };
  expect(files.map(({ file }) => file)).toContain('relight.db-wal');
  expect(service.exitCode).toBeNull();
});

test('who has its port is named, whoever that is', async () => {
  const other = createServer((socket) => socket.end('HTTP/1.1 418 No\r\nconnection: close\r\n\r\n')).listen(0, '127.0.0.1');
  await once(other, 'listening');
  configure((other.address() as AddressInfo).port);
  expect((await makeBundle()).code).toBe(0);
  other.close();
  expect(document('listening.json')).toMatchObject({
    heldBy: expect.stringContaining(`(pid ${process.pid})`) as string,
    healthz: expect.arrayContaining([expect.objectContaining({ status: 418 })]) as unknown[],
  });
});

test('a damaged store is told of, and costs nothing else', async () => {
  configure(await freePort());
  const store = await openStore({ dataDir, clock: systemClock });
  await store.close();
  const fd = openSync(join(dataDir, 'relight.db'), 'r+');
  writeSync(fd, Buffer.alloc(4_096 * 8, 7), 0, 4_096 * 8, 4_096);
  closeSync(fd);
  expect((await makeBundle()).code).toBe(0);
  expect(entry('check.txt')).toMatch(/^relight\.db {2}DAMAGED/m);
  expect(document('disk.json')).toMatchObject({ directory: dataDir });
});

test('a list of files that no pipe takes at once is whole, and so is what is told behind it', async () => {
  configure(await freePort());
  const deep = Array.from({ length: 8 }, () => 'x'.repeat(200)).join('/');
  mkdirSync(join(dataDir, deep), { recursive: true });
  for (let index = 0; index < 4_900; index += 1) writeFileSync(join(dataDir, deep, `${index}`), '');
  expect(await makeBundle()).toMatchObject({ code: 0, out: `${bundle}\n` });
  expect(entry('files.json').length).toBeGreaterThan(8 << 20);
  expect((document('files.json') as { files: object[] }).files).toHaveLength(4_908);
  expect(document('certificate.json')).toMatchObject({ scheme: 'http' });
});

test('nothing there at all: each part says so, and nothing is made in its place', async () => {
  configure(await freePort());
  const onlyTar = join(directory, 'tar-alone');
  mkdirSync(onlyTar);
  for (const name of ['tar', 'gzip'])
    writeFileSync(join(onlyTar, name), `#!/bin/sh\nPATH=${process.env['PATH']} exec ${name} "$@"\n`, { mode: 0o755 });
  expect((await makeBundle({ PATH: onlyTar })).code).toBe(0);
  expect(existsSync(dataDir)).toBe(false);
  expect(reasonOf('disk.json')).toMatch(/ENOENT/);
  expect(reasonOf('store.json')).toBe(`there is no ${join(dataDir, 'relight.db')}, or it may not be looked at`);
  expect(reasonOf('service.txt')).toBe('systemctl: there is no such program here');
  expect(reasonOf('journal.txt')).toBe('journalctl: there is no such program here');
  expect(document('listening.json')).toMatchObject({ heldBy: 'nobody that this account can see' });
});

test('never over a file that is there, nor with a part of one left behind', async () => {
  configure(await freePort());
  writeFileSync(bundle, 'mine');
  expect(await makeBundle()).toMatchObject({ code: 2, out: '', err: expect.stringContaining('exists already\nName another') as string });
  expect(readFileSync(bundle, 'utf8')).toBe('mine');
  const args = ['support-bundle', '--config', config, '-o', join(directory, 'not-there', 'b.tar.gz')];
  expect(await run(args)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(/cannot be written.*\nName a file/) as string });
  expect(readdirSync(directory).toSorted()).toEqual([basename(bundle), basename(config)]);
});
