import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import pc from 'picocolors';
import { describe, expect, test } from 'vitest';
import { systemClock } from '@relight/shared/clock';
import { selfSigned } from '../access/self-signed.ts';
import { fakeApi, json, knownFleet, list, problem, relight, sse, type Ended } from './fake-api.test-data.ts';
import { runCli } from './program.ts';
import { apiEvent, apiHost, apiWorkload } from './samples.test-data.ts';

const nowhere = 'http://127.0.0.1:1';
const alert = {
  id: 'a1',
  rule: 'RepeatedRestarts',
  severity: 'warning',
  host: 'tpu-0',
  workload: 'ray',
  state: 'firing',
  startsAt: '2026-01-31T12:00:00.000Z',
  endsAt: null,
  summary: '3 restarts within 10 m',
  labels: {},
};

/** Without the cost of a process, for what ends before anything is sent. */
async function inProcess(...args: readonly string[]): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  const code = await runCli(
    args,
    {
      env: { RELIGHT_URL: nowhere },
      clock: systemClock,
      color: pc.createColors(false),
      columns: null,
      signal: new AbortController().signal,
      write: async (text) => {
        stdout += text;
      },
      note: (text) => {
        stderr += `${text}\n`;
      },
    },
    '0',
  );
  return { code, stdout, stderr };
}

const run = (url: string, ...args: readonly string[]): Promise<Ended> => relight(url, args).ended;

describe('listings', () => {
  test('status says when the collector cannot store anything', async () => {
    await using api = await fakeApi({
      'GET hosts': list([apiHost({})]),
      'GET alerts': list([]),
      'GET /readyz': (_call, response) => problem(response, 503, 'store-failed', 'nothing can be stored since 2026: disk is full'),
    });
    expect(await run(api.url, 'status')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('1 host: 1 connected') as string,
      stderr: 'relight: the collector is in trouble, what it shows may be old: nothing can be stored since 2026: disk is full\n',
    });
  });

  test('status shows hosts, workloads and alerts, reads every page and sends the token', async () => {
    await using api = await fakeApi({
      'GET hosts': (call, response) => {
        const next = call.query['after'] === undefined ? '1' : null;
        return json({ items: [apiHost({ name: next === null ? 'tpu-1' : 'tpu-0', labels: { n: next ?? '2' } })], next })(call, response);
      },
      'GET alerts': list([alert]),
    });
    const text = await run(api.url, 'status');
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toContain('2 hosts: 2 connected · 2 workloads: 2 ready · 1 alert firing');
    expect(text.stdout).toContain('warning  RepeatedRestarts  3 restarts within 10 m');
    expect(api.calls[0]?.headers.authorization).toBe('Bearer secret-token');
    const document = JSON.parse((await run(api.url, 'status', '--json', '--label', 'n=2')).stdout) as {
      hosts: { name: string }[];
      workloads: unknown[];
    };
    expect(document.hosts.map(({ name }) => name)).toEqual(['tpu-0', 'tpu-1']);
    expect(document.workloads).toHaveLength(2);
    expect(api.calls.at(-1)?.query['label'] ?? api.calls.at(-2)?.query['label']).toBe('n=2');
  });

  test('status shows what is wrong with the whole fleet, and with no host outside the selection', async () => {
    const fleet = { ...alert, id: 'f', rule: 'FleetDisconnected', host: '', workload: null };
    const elsewhere = { ...alert, id: 'e', host: 'tpu-9' };
    await using api = await fakeApi({ 'GET hosts': list([apiHost()]), 'GET alerts': list([elsewhere, fleet]) });
    const { alerts } = JSON.parse((await run(api.url, 'status', '--json', '--label', 'n=2')).stdout) as { alerts: { rule: string }[] };
    expect(alerts.map(({ rule }) => rule)).toEqual(['FleetDisconnected']);
  });

  test('host shows one host with its events; one that is not there is exit code 1', async () => {
    await using api = await fakeApi({
      'GET hosts/a%2Fb': json(apiHost({ name: 'a/b' })),
      'GET events': list([apiEvent(2), apiEvent(1, { message: 'first' })]),
    });
    const found = await run(api.url, 'host', 'a/b');
    expect(found.code).toBe(0);
    expect(found.stdout.indexOf('first')).toBeLessThan(found.stdout.indexOf('exit code 137'));
    expect(await run(api.url, 'host', 'nobody')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'relight: there is no hosts/nobody\nadvice for not-found\n',
    });
  });

  test('events sends every filter and prints oldest first', async () => {
    await using api = await fakeApi({ 'GET events': list([apiEvent(12), apiEvent(9)]) });
    const args = [
      '--host',
      'h',
      '--workload',
      'w',
      '--kind',
      'container.died',
      '--kind',
      'host.dead',
      '--severity',
      'error,critical',
      '--until',
      '2026-02-01',
    ];
    const done = await run(api.url, 'events', ...args, '-n', '2', '--json');
    expect((JSON.parse(done.stdout) as { items: { id: string }[] }).items.map(({ id }) => id)).toEqual(['9', '12']);
    expect(api.calls[0]?.query).toEqual({
      host: 'h',
      workload: 'w',
      kind: 'container.died,host.dead',
      severity: 'error,critical',
      until: '2026-02-01T00:00:00.000Z',
      limit: '2',
    });
  });

  test('events says when there are none, and of whom nothing is known', async () => {
    await using api = await fakeApi({ 'GET events': list([]), ...knownFleet([apiHost({ workloads: [] })]) });
    expect(await run(api.url, 'events')).toMatchObject({ code: 0, stdout: '', stderr: 'relight: no events\n' });
    expect(await run(api.url, 'events', '--host', 'nosuch')).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'relight: nothing is known of nosuch\n',
    });
    expect(await run(api.url, 'events', '--host', 'tpu-0')).toMatchObject({ code: 0, stdout: '', stderr: 'relight: no events\n' });
  });

  test('events --follow goes on where the list ended, each event once, only what was asked for', async () => {
    await using api = await fakeApi({
      'GET events': list([apiEvent(5)]),
      'GET stream': (_call, response) => {
        sse(response, [
          { id: 5, event: 'event', data: apiEvent(5) },
          { id: 6, event: 'event', data: apiEvent(6, { host: 'other' }) },
          { id: 7, event: 'event', data: apiEvent(7, { message: 'seventh' }) },
        ]);
      },
    });
    const following = relight(api.url, ['events', '--host', 'tpu-0', '--follow', '--json']);
    await following.shows('seventh');
    following.kill('SIGINT');
    const { code, stdout } = await following.ended;
    expect(code).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { id: string }).id),
    ).toEqual(['5', '7']);
    expect(api.calls.find(({ path }) => path === 'stream')?.headers['last-event-id']).toBe('5');
  });

  test('alerts and incidents', async () => {
    await using api = await fakeApi({ 'GET alerts': list([alert, { ...alert, id: 'a2', state: 'resolved' }]), 'GET incidents': list([]) });
    expect((await run(api.url, 'alerts')).stdout.split('\n')).toHaveLength(3);
    expect((JSON.parse((await run(api.url, 'alerts', '--all', '--json')).stdout) as { items: unknown[] }).items).toHaveLength(2);
    expect(api.calls.map(({ query }) => query['state'])).toEqual(['firing', undefined]);
    expect(await run(api.url, 'incidents')).toMatchObject({ code: 0, stdout: 'no incidents\n' });
  });

  test('status --watch keeps the picture of the stream, and begins anew with every connection', async () => {
    let connections = 0;
    await using api = await fakeApi({
      'GET stream': (_call, response) => {
        connections += 1;
        const host = apiHost({ name: `tpu-${connections}`, workloads: [apiWorkload({ host: `tpu-${connections}`, phase: 'held' })] });
        sse(response, [
          { id: 1, event: 'host', data: apiHost({ name: 'gone' }) },
          { id: 1, event: 'host', data: host },
          { id: 1, event: 'alert', data: { ...alert, host: host.name } },
          { id: 1, event: 'host', data: { name: 'gone', deleted: true } },
        ]);
        if (connections === 1) response.end();
      },
    });
    const watching = relight(api.url, ['status', '--watch', '--label', 'pool=v5e', '--json']);
    await watching.shows('tpu-2');
    watching.kill('SIGTERM');
    const { code, stdout } = await watching.ended;
    expect(code).toBe(0);
    const pictures = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { hosts: { name: string }[]; workloads: unknown[]; alerts: unknown[] });
    expect(pictures.map(({ hosts, workloads, alerts }) => [hosts.map(({ name }) => name), workloads.length, alerts.length])).toEqual([
      [['tpu-1'], 1, 1],
      [['tpu-2'], 1, 1],
    ]);
    expect(api.calls[0]?.query).toEqual({ label: 'pool=v5e' });
  });
});

describe('actions', () => {
  test('reach workload or host, with level, duration and reason', async () => {
    const accepted = json({ ok: true, message: 'restarting' });
    await using api = await fakeApi({
      'POST workloads/tpu-0/ray/actions': accepted,
      'POST hosts/tpu-0/actions': json({ ok: false, message: 'remote actions are off' }),
    });
    expect(await run(api.url, 'restart', 'tpu-0/ray', '--level', 'container', '--reason', 'new image')).toEqual({
      code: 0,
      stdout: 'tpu-0/ray: restarting\n',
      stderr: '',
    });
    expect((await run(api.url, 'pause', 'tpu-0/ray', '--for', '2h')).code).toBe(0);
    expect(await run(api.url, 'resume', 'tpu-0')).toMatchObject({ code: 1, stdout: 'tpu-0: remote actions are off\n' });
    expect(api.calls.map(({ body }) => body)).toEqual([
      { action: 'restart', level: 'container', reason: 'new image' },
      { action: 'pause', for: '2h' },
      { action: 'resume' },
    ]);
  });

  test('expect and forget', async () => {
    await using api = await fakeApi({
      'POST hosts': json(apiHost({ state: 'expected' })),
      'DELETE hosts/tpu-0': (_call, response) => {
        response.writeHead(204).end();
      },
      'DELETE hosts/tpu-1': (_call, response) => problem(response, 409, 'conflict', 'tpu-1 is connected'),
    });
    expect((await run(api.url, 'expect', 'a', 'b', '--within', '10m', '--label', 'pool=v5e')).stdout).toBe(
      'a: expected within 10m\nb: expected within 10m\n',
    );
    expect(api.calls.map(({ body }) => body)).toEqual(['a', 'b'].map((name) => ({ name, labels: { pool: 'v5e' }, within: '10m' })));
    // Of a collector that does not say which tokens there are.
    expect(await run(api.url, 'forget', 'tpu-0')).toMatchObject({
      code: 0,
      stdout: 'tpu-0: forgotten\n',
      stderr: expect.stringContaining('is let in again.\nTo keep it away, on the collector: relight-collector token list') as string,
    });
    expect(await run(api.url, 'forget', 'tpu-1')).toMatchObject({ code: 1, stderr: 'relight: tpu-1 is connected\nadvice for conflict\n' });
  });
});

describe('what becomes of a host that was forgotten', () => {
  const token = { kind: 'agent', name: null, role: null, agentId: null, usesLeft: null, createdAt: null, lastUsedAt: null };
  const valid = { ...token, id: 'own', host: 'tpu-0', expiresAt: '2100-01-01T00:00:00.000Z', revokedAt: null };
  const said = async (tokens: readonly object[]): Promise<string> => {
    await using api = await fakeApi({
      'DELETE hosts/tpu-0': (_call, response) => void response.writeHead(204).end(),
      'GET tokens': list(tokens),
    });
    return (await run(api.url, 'forget', 'tpu-0')).stderr;
  };

  test('while its token is valid it is let in again: which to revoke, and how to join it anew', async () => {
    const others = [
      { ...valid, id: 'other', host: 'tpu-1' },
      { ...valid, id: 'operator', kind: 'operator', host: null },
      { ...valid, id: 'over', expiresAt: '2000-01-01T00:00:00.000Z' },
      { ...valid, id: 'revoked', revokedAt: '2000-01-01T00:00:00.000Z' },
    ];
    expect(await said([valid, ...others, { ...valid, id: 'shared', host: null }])).toBe(
      [
        'Its token is still valid: its agent, should it come back, is let in again.',
        'To keep it away, on the collector; it is refused then, and told so:',
        '  relight-collector token revoke own',
        '  relight-collector token revoke shared   # for any host: others may report by it',
        'To join it anew after that:',
        '  relight-collector token create --kind join --host tpu-0',
        '',
      ].join('\n'),
    );
    expect(await said(others)).toBe(
      'No valid token is left for it: its agent, should it come back, is refused, and told so.\n' +
        'To join it anew, on the collector: relight-collector token create --kind join --host tpu-0\n',
    );
  });
});

describe('what can be wrong', () => {
  test.each([
    [['staus'], 'Did you mean status?'],
    [['status', '--jsn'], 'Did you mean --json?'],
    [['host'], "missing required argument 'name'"],
    [['host', 'a', 'b'], 'too many arguments'],
    [['events', '--kind', 'container.dies'], 'Did you mean container.died?'],
    [['events', '--since', 'yesterday'], 'Expected how long ago'],
    [['tail', '--source', 'proces'], 'did you mean process?'],
    [['tail', '--source', 'stdout'], 'allowed: container, process'],
    [['tail', '--source', 'Profiler!'], 'allowed: container, process'],
    [['tail', '-n', 'many'], 'Expected a number'],
    [['tail', 'a/b', '--host', 'c'], 'not both'],
    [['restart', 'a/b/c'], 'Expected HOST or HOST/WORKLOAD'],
    [['restart', 'a/b', '--level', 'proces'], 'Did you mean process?'],
    [['pause', 'a/b', '--for', '2'], 'duration with a unit'],
    [['wait', 'a/b', '--for', 'redy'], 'Did you mean ready?'],
    [['wait', 'a/b', '--timeout', '5'], 'duration with a unit'],
    [['status', '--url', 'collector'], 'is not the address of a collector'],
    [['status', '--token-file', '/etc/passwd'], 'no token has'],
    [['status', '--token-file', '/nowhere'], 'the token file cannot be read'],
  ])('%j is wrong usage', async (args, message) => {
    const { code, stdout, stderr } = await inProcess(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  test('a source that only a later version knows is asked for', async () => {
    await using api = await fakeApi({ 'GET logs': (_call, response) => void response.end() });
    expect(await inProcess('--url', api.url, 'tail', '--source', 'profiler', '--no-follow')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(api.calls[0]?.query).toMatchObject({ source: 'profiler' });
  });

  test('a collector that cannot be reached: who, why, and what to set', async () => {
    for (const args of [['status'], ['tail'], ['events', '--follow'], ['restart', 'a/b']]) {
      const { code, stderr } = await run(nowhere, ...args);
      expect(code).toBe(3);
      expect(stderr).toBe(
        `relight: the collector at ${nowhere} does not answer: connect ECONNREFUSED 127.0.0.1:1\nStart it, or set RELIGHT_URL or --url to where it is.\n`,
      );
    }
  });

  test('a collector that speaks TLS, asked without: what to set', async () => {
    const { keyPem, certPem } = await selfSigned({
      names: ['127.0.0.1'],
      keyPem: null,
      notBefore: Date.now() - 1_000,
      notAfter: Date.now() + 60_000,
    });
    const server = createServer({ key: keyPem, cert: certPem }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      const { code, stderr } = await run(`http://127.0.0.1:${port}`, 'status');
      expect(code).toBe(3);
      expect(stderr).toContain(`set RELIGHT_URL or --url to https://127.0.0.1:${port}, and RELIGHT_FINGERPRINT`);
    } finally {
      server.close();
    }
  });

  test('a reader that goes away while help is printed is not an error', async () => {
    const lines = Array.from({ length: 8 }, () => `("$0" "$1" tail --help; echo "$?" >&2) | true &`);
    const done = spawnSync('bash', ['-c', `${lines.join('\n')}\nwait`, process.execPath, join(import.meta.dirname, 'main.ts')], {
      encoding: 'utf8',
    });
    expect(done.stderr).toBe('0\n'.repeat(8));
  });

  test('something else answers at that address', async () => {
    await using api = await fakeApi({
      'GET hosts': (_call, response) => void response.writeHead(502).end('<html>'),
      'GET alerts': list([]),
    });
    expect(await run(api.url, 'status')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('is no Relight collector (HTTP 502') as string,
    });
  });

  test('a fingerprint and an address without TLS is wrong usage, and nobody who answers there gets the token', async () => {
    await using api = await fakeApi({ 'GET hosts': list([]), 'GET alerts': list([]) });
    const pin = 'ab'.repeat(32);
    for (const ended of [
      await run(api.url, 'status', '--fingerprint', pin),
      await run(api.url.replace(/^http/, 'ws'), 'status', '--fingerprint', pin),
      await relight(api.url, ['status'], { RELIGHT_FINGERPRINT: pin }).ended,
    ]) {
      expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(`${api.url} is not encrypted`) as string });
    }
    expect(api.calls).toEqual([]);
  });

  test('a wrong token is a wrong configuration; --token-file wins over RELIGHT_TOKEN', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'relight-cli-'));
    writeFileSync(join(directory, 'token'), 'from-file\n');
    await using api = await fakeApi({ 'GET hosts/h': (_call, response) => problem(response, 401, 'unauthorized', 'no valid token') });
    const { code, stderr } = await run(api.url, 'host', 'h', '--token-file', join(directory, 'token'));
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('Set RELIGHT_TOKEN or --token-file') as string });
    expect(api.calls[0]?.headers.authorization).toBe('Bearer from-file');
    rmSync(directory, { recursive: true });
  });

  test('every command has help with an example', async () => {
    const names = ['status', 'host', 'events', 'incidents', 'alerts', 'tail', 'wait', 'restart', 'pause', 'resume', 'expect', 'forget'];
    await Promise.all(
      names.map(async (name) => {
        const { code, stdout, stderr } = await inProcess(name, '--help');
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        expect(stdout).toContain(`$ relight ${name}`);
      }),
    );
  });
});
