/** Where the join token of `join` and `setup` may come from, through the command itself and a collector that takes it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { temporaryDirectory, writeTo } from './recorded-io.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
const token = 'rlj_ThisIsAJoinTokenOfTheTest';
let shown: (string | undefined)[] = [];
let collector: Server;
let url: string;
let directory: string;

beforeAll(async () => {
  collector = createServer((request, response) => {
    shown.push(request.headers.authorization);
    request.resume();
    const now = Date.now();
    const credential = { token: 'rla_own', tokenId: 't1', host: 'h', issuedAt: now, expiresAt: now + 3_600_000 };
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(credential));
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterAll(() => void collector.close());
beforeEach(() => {
  shown = [];
  directory = temporaryDirectory();
});

const env = (): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'] ?? '', RELIGHT_CONFIG: join(directory, 'none.yaml') });

async function agent(args: readonly string[], input: string | null = ''): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [main, ...args], { env: env(), stdio: 'pipe' });
  // What is read no further than its first line may be longer than a pipe holds.
  child.stdin.on('error', () => undefined);
  if (input !== null) child.stdin.end(input);
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, out, err };
}
const joins = (words: readonly string[], input?: string) =>
  agent(['join', url, ...words, '--host', 'h', '--state-dir', join(directory, 'state')], input);

test.each<[string, () => readonly string[], string | undefined]>([
  ['the command line', () => [token], undefined],
  ['a file', () => ['--token-file', writeTo(directory, 'token', `${token}\n`)], undefined],
  ['stdin, where more may follow', () => ['-'], `\n${token}\r\nnot this\n`],
])('join takes the token from %s', async (_, words, input) => {
  const { code, out, err } = await joins(words(), input);
  expect({ code, err: err.includes('usage') }).toEqual({ code: 0, err: false });
  expect(out).toContain(`h has joined ${url}`);
  expect(shown).toEqual([`Bearer ${token}`]);
  expect(out + err).not.toContain(token);
});

test('setup takes it from a file, and a dry run spends nothing', async () => {
  const file = writeTo(directory, 'token', token);
  const words = ['--yes', '--dry-run', '--no-workloads', '--host', 'h', '--collector', url, '--token-file', file];
  const { code, out } = await agent([
    'setup',
    '--config',
    join(directory, 'agent.yaml'),
    '--state-dir',
    join(directory, 'state'),
    ...words,
  ]);
  expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('name: h') as string });
  expect(shown).toEqual([]);
});

test.each<[string, () => readonly string[], string, string]>([
  ['no token', () => [], '', 'no join token is given'],
  ['two of them', () => [token, '--token-file', writeTo(directory, 'token', token)], '', 'given twice'],
  ['a file that is not there', () => ['--token-file', join(directory, 'none')], '', 'ENOENT'],
  ['a file of something else', () => ['--token-file', writeTo(directory, 'token', 'Sup3rSecret\nmore')], '', 'is no join token'],
  ['an empty stdin', () => ['-'], '', 'what stdin holds is no join token'],
  ['a device without an end', () => ['--token-file', '/dev/zero'], '', '/dev/zero cannot be read: it is longer than 1.0 KiB'],
  ['a directory', () => ['--token-file', directory], '', 'EISDIR'],
  ['a line without an end', () => ['-'], 'Sup3rSecret'.repeat(100_000), 'what stdin holds is no join token'],
  ['blank lines without an end', () => ['-'], '\n'.repeat(1_000_000), 'what stdin holds is no join token'],
  ['a wrong word on stdin', () => ['-'], 'Sup3rSecret\n', 'what stdin holds is no join token'],
])('%s is a usage error that repeats nothing of it', async (_, words, input, message) => {
  const { code, out, err } = await joins(words(), input);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toContain(message);
  expect(err).not.toMatch(/Sup3rSecret|rlj_This/);
  expect(shown).toEqual([]);
});

test('a stdin without an end is not read for ever, and one that stays open is not waited for', async () => {
  const zero = openSync('/dev/zero', 'r');
  const refused = spawn(process.execPath, [main, 'join', url, '-'], { env: env(), stdio: [zero, 'ignore', 'pipe'] });
  closeSync(zero);
  const [said, [code]] = await Promise.all([text(refused.stderr ?? Readable.from([])), once(refused, 'exit') as Promise<[number | null]>]);
  expect({ code, said }).toEqual({ code: 2, said: expect.stringContaining('what stdin holds is no join token') as string });

  const child = spawn(process.execPath, [main, 'join', url, '-', '--host', 'h', '--state-dir', join(directory, 'state')], {
    env: env(),
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  child.stdin.write(`${token}\n`);
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('setup takes it from a terminal, and its questions are answered there, also with what was typed ahead', async () => {
  const words = [
    'setup',
    '--dry-run',
    '--no-workloads',
    '--collector',
    url,
    '--join-token',
    '-',
    '--config',
    join(directory, 'agent.yaml'),
  ];
  const line = [process.execPath, main, ...words, '--state-dir', join(directory, 'state')].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', line, '/dev/null'], { env: { ...env(), TERM: 'dumb', SHELL: '/bin/sh' }, stdio: 'pipe' });
  const ended = once(child, 'close') as Promise<[number | null]>;
  let screen = '';
  child.stdout.on('data', (piece: Buffer) => {
    if (screen === '') child.stdin.write(`${token}\ntyped-ahead pool=v5e\n`);
    screen += String(piece);
  });
  const [code] = await ended;
  expect({ code, screen }).toEqual({ code: 0, screen: expect.stringMatching(/What[^]*name: typed-ahead/) as string });
});
