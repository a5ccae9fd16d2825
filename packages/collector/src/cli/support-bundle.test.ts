/** `relight support-bundle` against scripted answers: what is in the file, and what must not be. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pc from 'picocolors';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '@relight/shared/manual-clock';
import { fakeApi, json, list, problem, type Answer, type FakeApi } from './fake-api.test-data.ts';
import { runCli } from './program.ts';
import { apiEvent, apiHost, apiWorkload } from './samples.test-data.ts';

const token = 'an-operators-word-7f3a91c2';
const secrets = {
  token,
  bearer: 'Zm9vYmFyYmF6cXV4MTIzNDU2',
  password: 'correct-horse-battery',
  awsKey: 'AKIAIOSFODNN7EXAMPLE',
  huggingFace: 'hf_AbCdEfGhIjKlMnOpQrStUv',
  privateKey: 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC',
  inAddress: 'swordfish',
};
const planted = {
  reason: `exited: --api-token ${secrets.huggingFace} was refused`,
  message: `curl -H "Authorization: Bearer ${secrets.bearer}" https://me:${secrets.inAddress}@registry.example/v2`,
  cause: `DB_PASSWORD=${secrets.password} is wrong\n-----BEGIN PRIVATE KEY-----\n${secrets.privateKey}\n-----END PRIVATE KEY-----`,
  label: `${secrets.awsKey} and ${token}`,
};

const metricsPage = [
  '# HELP relight_host_state S.',
  '# TYPE relight_host_state gauge',
  'relight_host_state{host="tpu-0",state="connected"} 1',
  'relight_host_state{host="tpu-1",state="dead"} 1',
  '# HELP relight_build_info V.',
  '# TYPE relight_build_info gauge',
  'relight_build_info{version="9.8.7"} 1',
  '',
].join('\n');

const host = apiHost({ labels: { note: planted.label }, workloads: [apiWorkload({ reason: planted.reason })] });
const sink = {
  position: 1,
  name: 'https://hooks.example/…',
  type: 'webhook',
  state: 'failing',
  failingSince: '2026-01-31T12:00:00.000Z',
  reason: planted.message,
  lastDeliveredAt: null,
  waiting: 2,
  waitingSince: '2026-01-31T12:00:00.000Z',
};
const answers = (more: Readonly<Record<string, Answer>> = {}): Readonly<Record<string, Answer>> => ({
  'GET hosts': list([host, apiHost({ name: 'tpu-1' })]),
  'GET hosts/tpu-0': json(host),
  'GET alerts': list([{ id: 'a', rule: 'HostDead', severity: 'critical', host: 'tpu-0', state: 'firing', summary: planted.reason }]),
  'GET incidents': list([{ id: 'i1', host: 'tpu-0', cause: planted.cause }]),
  'GET events': list([apiEvent(2, { message: planted.message }), apiEvent(1)]),
  'GET sinks': list([sink]),
  'GET openapi.json': json({ info: { version: '9.8.7' } }),
  'GET /readyz': json({ status: 'ok' }),
  'GET /metrics': (_call, response) => void response.setHeader('content-type', 'text/plain').end(metricsPage),
  ...more,
});

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-bundle-'));
  file = join(directory, 'b.tar.gz');
  onTestFinished(() => rmSync(directory, { recursive: true }));
});

async function run(api: Pick<FakeApi, 'url'>, ...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' };
  const io = {
    env: { RELIGHT_URL: api.url, RELIGHT_TOKEN: token },
    clock: new ManualClock(Date.parse('2026-01-31T12:01:05.000Z')),
    color: pc.createColors(false),
    columns: null,
    signal: new AbortController().signal,
    write: async (text: string) => void (said.stdout += text),
    note: (text: string) => void (said.stderr += `${text}\n`),
  };
  const code = await runCli(['support-bundle', ...args, '-o', file], io, '1.2.3');
  return { code, ...said };
}

const entry = (name: string): string => execFileSync('tar', ['-xzOf', file, `b/${name}`], { encoding: 'utf8' });
const entries = (): readonly string[] =>
  execFileSync('tar', ['-tzf', file], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => name !== '' && !name.endsWith('/'))
    .map((name) => name.replace(/^b\//, ''))
    .toSorted();

test('the whole fleet in one file that is its maker’s alone, with a list of what is in it', async () => {
  await using api = await fakeApi(answers());
  const { code, stdout, stderr } = await run(api);
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${file}\n` });
  expect(stderr).toContain('look through it before you send it');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const names = [
    'alerts.json',
    'collector.json',
    'events.ndjson',
    'hosts.json',
    'incidents.json',
    'metrics.txt',
    'sinks.json',
    'status.txt',
  ];
  expect(entries()).toEqual(['README.txt', 'manifest.json', ...names].toSorted());
  const manifest = JSON.parse(entry('manifest.json')) as { files: string[] };
  expect(manifest).toMatchObject({ collector: api.url, host: null, since: '2026-01-30T12:01:05.000Z', missing: [] });
  expect(manifest.files.toSorted()).toEqual(names);
  expect(JSON.parse(entry('collector.json'))).toEqual({ version: '9.8.7', trouble: null });
  expect(entry('status.txt')).toContain('2 hosts: 2 connected');
  expect(entry('status.txt')).toContain('alert sink 1 (https://hooks.example/…) has taken nothing for 1 m 05 s');
  expect(entry('metrics.txt')).toBe(metricsPage);
  const events = entry('events.ndjson').trim().split('\n');
  expect(events.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(['1', '2']);
});

test('nothing of what is secret is in it, wherever it was planted; what stands around it is', async () => {
  await using api = await fakeApi(answers());
  expect((await run(api, 'tpu-0')).code).toBe(0);
  const all = entries().map(entry).join('\n');
  for (const [what, secret] of Object.entries(secrets)) expect([what, all.includes(secret)]).toEqual([what, false]);
  for (const around of ['was refused', 'registry.example/v2', 'DB_PASSWORD']) expect(all).toContain(around);
});

test('of one host: asked for it alone, without the metrics of the others', async () => {
  await using api = await fakeApi(answers());
  expect((await run(api, 'tpu-0', '--since', '2h')).code).toBe(0);
  expect(entries()).toContain('host.txt');
  expect(JSON.parse(entry('hosts.json'))).toHaveLength(1);
  expect(entry('metrics.txt')).toBe(metricsPage.replace('relight_host_state{host="tpu-1",state="dead"} 1\n', ''));
  for (const path of ['alerts', 'incidents', 'events']) expect(api.calls.find((call) => call.path === path)?.query['host']).toBe('tpu-0');
  expect(api.calls.find((call) => call.path === 'events')?.query['since']).toBe('2026-01-31T10:01:05.000Z');
});

test('what cannot be had is missing with its reason, and the rest is there', async () => {
  await using api = await fakeApi(
    answers({ 'GET incidents': (_call, response) => problem(response, 503, 'store-failed', 'the disk is full') }),
  );
  const { code, stderr } = await run(api);
  expect(code).toBe(0);
  expect(stderr).toContain('left out: incidents.json: the disk is full');
  expect(JSON.parse(entry('manifest.json'))).toMatchObject({ missing: [{ name: 'incidents.json', reason: 'the disk is full' }] });
  expect(entries()).not.toContain('incidents.json');
  expect(entries()).toContain('events.ndjson');
});

test.each([
  ['a token that is refused', [], 'GET hosts', 401, 'unauthorized', 2],
  ['a host that is none', ['tpu-9'], 'GET hosts/tpu-9', 404, 'not-found', 1],
] as const)('%s: says so, and writes nothing', async (_what, args, path, status, code, exit) => {
  await using api = await fakeApi(answers({ [path]: (_call, response) => problem(response, status, code, `no: ${code}`) }));
  expect(await run(api, ...args)).toMatchObject({ code: exit, stdout: '', stderr: expect.stringContaining(`no: ${code}`) as string });
  expect(existsSync(file)).toBe(false);
});

test('a collector that is not there, and a file that is', async () => {
  expect(await run({ url: 'http://127.0.0.1:1' })).toMatchObject({ code: 3, stdout: '' });
  await using api = await fakeApi(answers());
  writeFileSync(file, 'mine');
  expect(await run(api)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('exists already') as string });
  expect(statSync(file).size).toBe(4);
});
