import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { fakeApi, json, knownFleet, problem, relight, sse } from './fake-api.test-data.ts';
import { apiHost, apiLine, apiWorkload } from './samples.test-data.ts';

const lines = (from: number, to: number): { id: number; event: string; data: unknown }[] =>
  Array.from({ length: to - from }, (_, i) => ({ id: from + i, event: 'line', data: apiLine(from + i) }));

describe('tail', () => {
  test('follows over a lost connection without loss or doubles, and ends with Ctrl-C', async () => {
    let connections = 0;
    await using api = await fakeApi({
      'GET logs/tail': (_call, response) => {
        connections += 1;
        if (connections === 1) {
          sse(response, lines(0, 5));
          response.end('id: 4_1.2\n\n');
        } else if (connections === 2) problem(response, 503, 'overloaded', 'starting');
        // Whoever resumes may begin too early.
        else
          sse(response, [
            ...lines(2, 8),
            { id: 9, event: 'gap', data: { ...apiLine(0), gap: { from: 8, to: 20, lines: 2, reason: 'rotated' } } },
          ]);
      },
    });
    const tail = relight(api.url, ['tail', 'tpu-0/ray', '--source', 'process', '--grep', 'a b', '-n', '7']);
    await tail.shows('rotated');
    tail.kill('SIGINT');
    const { code, stdout, stderr } = await tail.ended;
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n')).toEqual([
      ...Array.from({ length: 8 }, (_, i) => `tpu-0/ray process | line at ${i}`),
      'tpu-0/ray process | --- gap: 2 lines, 12 bytes (rotated) ---',
    ]);
    expect(stderr).toMatch(/closed the stream; trying again\nrelight: connected again\n$/);
    const streams = api.calls.filter(({ path }) => path === 'logs/tail');
    expect(streams[0]?.query).toEqual({ host: 'tpu-0', workload: 'ray', source: 'process', grep: 'a b', tail: '7' });
    expect(streams.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '4_1.2', '4_1.2']);
  });

  test('a name that nothing has is told, and followed all the same', async () => {
    await using api = await fakeApi({
      ...knownFleet([apiHost({ labels: { a: 'b' } }), apiHost({ name: 'tpu-1' }), apiHost({ name: 'gpu-0', workloads: [] })]),
      'GET logs': (_call, response) => void response.end(),
      'GET logs/tail': (_call, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      },
    });
    const history = await relight(api.url, ['tail', '--workload', 'rya', '--no-follow']).ended;
    expect(history).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'relight: nothing is known of rya; did you mean ray?\n',
    });
    expect((await relight(api.url, ['tail', '--label', 'a=b', '--no-follow', '--host', 'tpu-0']).ended).stderr).toBe('');
    expect(await relight(api.url, ['search', 'x', '--host', 'tpu-9']).ended).toMatchObject({
      code: 1,
      stderr: 'relight: nothing is known of tpu-9; did you mean tpu-0?\n',
    });
    expect(await relight(api.url, ['search', 'x', '--host', 'tpu-1']).ended).toMatchObject({ code: 1, stderr: '' });
    expect(await relight(api.url, ['tail', 'gpu-0', '--no-follow']).ended).toEqual({ code: 0, stdout: '', stderr: '' });
    const tail = relight(api.url, ['tail', 'tpu-0/rya']);
    await tail.shows('nothing is known of tpu-0/rya; did you mean tpu-0/ray? Waiting for it.');
    tail.kill('SIGINT');
    expect((await tail.ended).code).toBe(0);
  });

  test('--no-follow reads what is there, far more than a pipe holds', async () => {
    const count = 20_000;
    await using api = await fakeApi({
      'GET logs': (_call, response) => {
        response.writeHead(200, { 'content-type': 'application/x-ndjson' });
        response.end(Array.from({ length: count }, (_, i) => JSON.stringify(apiLine(i, { line: `${'é'.repeat(30)} ${i}` }))).join('\n'));
      },
    });
    const { code, stdout } = await relight(api.url, ['tail', '--no-follow', '--since', '10m', '--json']).ended;
    expect(code).toBe(0);
    const offsets = stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { offset: number }).offset);
    expect(offsets).toEqual(Array.from({ length: count }, (_, i) => i));
    expect(api.calls[0]?.query).toEqual({ since: expect.stringMatching(/^\d{4}-.*Z$/) as string });
  });

  test('a reader that goes away is a clean end', async () => {
    let more = true;
    await using api = await fakeApi({
      'GET logs/tail': (_call, response) => {
        let at = 0;
        const push = (): void => {
          if (!more) return;
          sse(response, lines(at, at + 100));
          at += 100;
          setImmediate(push);
        };
        response.once('close', () => {
          more = false;
        });
        push();
      },
    });
    const tail = relight(api.url, ['tail']);
    await tail.shows('line at 50');
    tail.closeOutput();
    expect(await tail.ended).toMatchObject({ code: 0, stderr: '' });
  });

  test('a filter that the collector refuses is wrong usage', async () => {
    await using api = await fakeApi({ 'GET logs/tail': (_call, response) => problem(response, 400, 'usage', 'grep: missing )') });
    expect(await relight(api.url, ['tail', '--grep', 'a newer syntax']).ended).toMatchObject({
      code: 2,
      stderr: 'relight: grep: missing )\nadvice for usage\n',
    });
  });

  test('colours where they are forced, none where they are not wanted', async () => {
    await using api = await fakeApi({ 'GET logs': (_call, response) => void response.end(`${JSON.stringify(apiLine(0))}\n`) });
    const tail = (env: Record<string, string>): Promise<{ stdout: string }> => relight(api.url, ['tail', '--no-follow'], env).ended;
    expect((await tail({ FORCE_COLOR: '1' })).stdout).toContain('\u001b[');
    const plain = 'tpu-0/ray process | line at 0\n';
    expect((await tail({ FORCE_COLOR: '1', NO_COLOR: '1' })).stdout).toBe(plain);
    expect((await tail({ CI: 'true' })).stdout).toBe(plain);
  });
});

describe('wait', () => {
  test('sees the change at once through the stream, long before the interval', async () => {
    let phase: 'setting-up' | 'ready' = 'setting-up';
    await using api = await fakeApi({
      'GET hosts/tpu-0': (call, response) =>
        json(apiHost({ workloads: [apiWorkload({ phase, stage: 'setup 1/2: keys' })] }))(call, response),
      'GET stream': (_call, response) => {
        // While the command looks, or right after: no later message will wake it.
        sse(response, [{ id: 1, event: 'host', data: {} }]);
        phase = 'ready';
        sse(response, [{ id: 1, event: 'workload', data: {} }]);
      },
    });
    const { code, stdout } = await relight(api.url, ['wait', 'tpu-0/ray', '--interval', '1h']).ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/s {2}tpu-0\/ray {2}ready\n$/);
  });

  test('says where it stands and gives up with exit code 1', async () => {
    await using api = await fakeApi({
      'GET hosts/tpu-0': json(apiHost({ workloads: [apiWorkload({ phase: 'back-off', reason: 'no disk' })] })),
    });
    const { code, stdout, stderr } = await relight(api.url, ['wait', 'tpu-0/ray', 'tpu-9', '--timeout', '400ms', '--interval', '100ms'])
      .ended;
    expect(code).toBe(1);
    expect(stdout).toContain('tpu-0/ray  back-off: no disk');
    expect(stdout).toContain('tpu-9  the collector does not know this host yet');
    expect(stderr).toBe('relight: not ready after 400 ms\n');
  });

  test('a URL: refused, 404 and 503 are starting, 2xx is ready', async () => {
    const statuses = [404, 503, 204];
    const server = createServer((_request, response) => response.writeHead(statuses.shift() ?? 204).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const { code, stdout } = await relight('http://127.0.0.1:1', ['wait', `http://127.0.0.1:${port}/health`, '--interval', '50ms']).ended;
    server.close();
    expect(code).toBe(0);
    expect(stdout.match(/HTTP \d+/g)).toEqual(['HTTP 404', 'HTTP 503', 'HTTP 204']);
    const refused = await relight('', ['wait', 'http://127.0.0.1:1/', '--timeout', '300ms', '--interval', '100ms']).ended;
    expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining('starting: ECONNREFUSED') as string });
  });

  test('waits for a collector that is starting, and says at the end that there was none', async () => {
    const { code, stdout } = await relight('http://127.0.0.1:1', ['wait', 'tpu-0/ray', '--timeout', '300ms', '--interval', '100ms']).ended;
    expect(code).toBe(3);
    expect(stdout).toContain('the collector at http://127.0.0.1:1 does not answer');
  });

  test('Ctrl-C is neither ready nor not', async () => {
    await using api = await fakeApi({});
    const waiting = relight(api.url, ['wait', 'tpu-0/ray']);
    await waiting.shows('does not know');
    waiting.kill('SIGINT');
    expect((await waiting.ended).code).toBe(130);
  });
});
