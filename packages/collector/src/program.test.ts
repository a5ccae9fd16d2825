import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from './store/sqlite-store.ts';
import { systemClock } from '@relight/shared/clock';

const main = join(import.meta.dirname, 'main.ts');
let dataDir: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-program-'));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(dataDir, { recursive: true });
});

function start(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, RELIGHT_COLLECTOR_DATA_DIR: dataDir, ...env } });
  children.push(child);
  return child;
}
async function run(args: readonly string[], env: Record<string, string> = {}): Promise<{ code: number | null; out: string; err: string }> {
  const child = start(args, env);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit') as Promise<[number | null]>]);
  return { code, out, err };
}
/** The address that the service logs. */
async function serve(): Promise<{ child: ChildProcess; url: string }> {
  const child = start(['serve', '--listen', '127.0.0.1:0']);
  let log = '';
  for await (const chunk of child.stderr) {
    log += String(chunk);
    const url = /"msg":"listening on (http:[^"]+)"/.exec(log)?.[1];
    if (url !== undefined) return { child, url };
  }
  throw new Error(`the service ended: ${log}`);
}

describe('relight-collector', () => {
  it('creates, lists and revokes tokens, with the token alone on stdout and only its hash in the store', async () => {
    const created = await run(['token', 'create', '--kind', 'agent', '--host', 'h1']);
    expect(created).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^rla_[\w-]{43}\n$/) });
    const listed = await run(['token', 'list', '--json']);
    const [token] = (JSON.parse(listed.out) as { items: { id: string }[] }).items;
    expect(token).toMatchObject({ kind: 'agent', host: 'h1', revokedAt: null });
    expect(listed.out).not.toContain(created.out.trim());
    expect((await run(['token', 'revoke', token?.id ?? ''])).code).toBe(0);
    expect(await run(['token', 'revoke', token?.id ?? ''])).toMatchObject({ code: 1, err: expect.stringMatching(/no valid token/) });
    const store = await openStore({ dataDir, clock: systemClock });
    expect(store.checkToken(created.out.trim())).toBeNull();
    await store.close();
  });

  it('lists other people’s names without what a terminal would take for a command', async () => {
    await run(['token', 'create', '--kind', 'operator', '--name', '\u001b]0;mine\u0007\u001b[31mred']);
    const { out } = await run(['token', 'list']);
    expect(out).toContain(String.raw`\x1b]0;mine\x07red`);
    expect(await run(['token', 'create', '--kind', 'agent', '--host', 'h\u001b[2J'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/Expected a host name/) as string,
    });
  });

  it('makes no certificate for a collector that has been set up already: it would serve HTTPS from its next start on', async () => {
    await run(['token', 'create', '--kind', 'operator']);
    expect(await run(['init', '--url', 'https://collector.example:7460'])).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/has been set up already/),
    });
    expect(existsSync(join(dataDir, 'tls'))).toBe(false);
  });

  it('prints no http line for a collector that has a certificate; behind a proxy with one of its own, its address is good', async () => {
    const tls = join(dataDir, 'tls');
    mkdirSync(tls);
    writeFileSync(join(tls, 'cert.pem'), 'a certificate');
    for (const more of [[], ['--url', 'http://collector.example:7460']]) {
      expect(await run(['init', '--no-tls', ...more])).toMatchObject({
        code: 1,
        out: '',
        err: expect.stringMatching(/serves HTTPS, with the certificate .*cert\.pem, and http:.* is http\nGive an https address/) as string,
      });
    }
    expect((await run(['token', 'list'])).out).toBe('');
    const { code, out } = await run(['init', '--no-tls', '--url', 'https://relight.example']);
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/ join https:\/\/relight\.example rlj_\S+\n/) as string });
    expect(out).toContain('Note: it listens on 127.0.0.1:7460 only: the proxy has to be on this machine.');
  });

  it.each([
    [
      'the port of the address',
      'https://c.example:7999',
      '127.0.0.1:7460',
      '127.0.0.1:7460 only. Other hosts reach it at https://c.example:7999 with listen: 0.0.0.0:7999',
    ],
    [
      'the port that an address without one has',
      'https://c.example',
      '[::1]:7460',
      '[::1]:7460 only. Other hosts reach it at https://c.example with listen: 0.0.0.0:443',
    ],
    [
      'that of an address that others reach',
      'https://c.example:7999',
      '10.0.0.1:7460',
      '10.0.0.1:7460. Other hosts reach it at https://c.example:7999 with listen: 10.0.0.1:7999',
    ],
    ['nothing that is so already', 'https://c.example:7999', '0.0.0.0:7999', null],
  ])('init says what to listen on for the line to work: %s', async (_what, url, listen, note) => {
    const { code, out } = await run(['init', '--url', url], { RELIGHT_COLLECTOR_LISTEN: listen });
    expect(code).toBe(0);
    expect(/^Note: it listens on (.*) in its configuration/m.exec(out)?.[1] ?? null).toBe(note);
  });

  it('serves, takes tokens made meanwhile, refuses a second service, and stops cleanly', async () => {
    const { child, url } = await serve();
    const operator = (await run(['token', 'create', '--kind', 'operator'])).out.trim();
    const hosts = () => fetch(`${url}/api/v1/hosts`, { headers: { authorization: `Bearer ${operator}` } });
    expect((await hosts()).status).toBe(200);
    const [token] = (JSON.parse((await run(['token', 'list', '--json'])).out) as { items: { id: string }[] }).items;
    await run(['token', 'revoke', token?.id ?? '']);
    expect((await hosts()).status).toBe(401);
    expect(await run(['serve', '--listen', '127.0.0.1:0'])).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(/another collector uses/),
    });
    const other = mkdtempSync(join(tmpdir(), 'relight-program-'));
    const taken = await run(['serve', '--listen', url.slice('http://'.length), '--data-dir', other]);
    rmSync(other, { recursive: true });
    expect(taken).toMatchObject({ code: 2, err: expect.stringMatching(/is in use already/) });
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('ends with one fatal line when its writing thread does, so that it is started again', async () => {
    const operator = (await run(['token', 'create', '--kind', 'operator'])).out.trim();
    const child = start(['serve', '--listen', '127.0.0.1:0']);
    // With all that it has said.
    const exited = once(child, 'close');
    let log = '';
    const listening = new Promise<string>((resolve) => {
      child.stderr.on('data', (chunk) => {
        log += String(chunk);
        const found = /"msg":"listening on (http:[^"]+)"/.exec(log)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
    const url = await listening;
    // What only a defect or a disk in pieces does: the path of the store leads nowhere, and the thread throws.
    renameSync(dataDir, `${dataDir}-away`);
    symlinkSync(dataDir, dataDir);
    const headers = { authorization: `Bearer ${operator}`, 'content-type': 'application/json' };
    await fetch(`${url}/api/v1/hosts`, { method: 'POST', headers, body: '{"name": "h"}' }).catch(() => null);
    expect(await exited).toEqual([1, null]);
    unlinkSync(dataDir);
    renameSync(`${dataDir}-away`, dataDir);
    const lines = log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: string; msg: string });
    expect(lines.filter(({ level }) => level === 'fatal')).toMatchObject([
      { code: 'store-failed', msg: expect.stringContaining('writing thread failed') },
    ]);
  });

  it.each([
    [['serve', '--listn', 'x'], /Did you mean --listen/],
    [['serve', '--listen', 'nonsense'], /"nonsense" is not HOST:PORT/],
    [['serve', '--config', '/does/not/exist'], /no such file/],
    [['serve', '--data-dir', '/dev/null/x'], /cannot be used/],
    [['token', 'create', '--kind', 'king'], /agent, join or operator/],
    [['token', 'create'], /required option '--kind/],
    [['token', 'create', '--kind', 'operator', '--host', 'h'], /agent tokens only/],
    [['token', 'list', '--data-dir', '/does/not/exist'], /\/does\/not\/exist cannot be used: it holds no data of a collector/],
    [['token', 'revoke', 'x', '--data-dir', '/does/not/exist'], /holds no data of a collector/],
    [['nonsense'], /unknown command/],
  ])('refuses %j with one clear message', async (args, message) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at /);
  });

  it('names the place of a mistake in the configuration', async () => {
    const file = join(dataDir, 'c.yaml');
    writeFileSync(file, 'version: 1\nretentoin: {}\n');
    expect((await run(['serve', '--config', file])).err).toContain(`${file}:2:1: retentoin: unknown key; did you mean "retention"?`);
  });
});
