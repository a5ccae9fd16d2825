/** Probes against real listeners on the host, in a container, and in a container's own network. */
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { RayNodeMemory } from '@relight/agent/checks/ray-node';
import { runProbe } from '@relight/agent/checks/run-probe';
import { Prober, type DesiredProbe } from '@relight/agent/checks/prober';
import type { ProbeResult, MountProbeResult } from '@relight/agent/checks/probe';
import type { ProbeSpec } from '@relight/agent/config/spec';
import { systemClock } from '@relight/shared/clock';
import { afterAll, beforeAll, expect, inject, it, onTestFinished } from 'vitest';
import { listProcesses } from '../support/processes.ts';
import { type Bench, startBench } from '../support/stage-bench.ts';
import { waitFor } from '../support/wait.ts';

let bench: Bench;
let containerPid = 0;
const servers: Server[] = [];
beforeAll(async () => {
  bench = await startBench({ engineSocket: inject('engineSocket'), image: inject('engineImage') });
  containerPid = await bench.up();
});
afterAll(async () => {
  for (const server of servers) server.close();
  await bench[Symbol.asyncDispose]();
});

const vars = { HOST: '127.0.0.1' };
/** What answers does so in time on a busy machine, too. */
const ask = (spec: ProbeSpec, timeoutMs = 30_000): Promise<ProbeResult> =>
  runProbe(spec, {
    engine: bench.engine,
    clock: systemClock,
    containerId: bench.containerId,
    containerPid,
    shell: null,
    vars,
    timeoutMs,
    ray: new RayNodeMemory(systemClock),
    signal: bench.signal,
  });

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

it('tcp from the host: accepted, refused, and not an address', async () => {
  const port = await listen(createServer((socket) => socket.destroy()));
  const tcp = (address: string): ProbeSpec => ({ kind: 'tcp', address, from: 'host' });
  expect(await ask(tcp(`\${HOST}:${port}`))).toMatchObject({ ok: true, message: 'connected' });
  servers.pop()?.close();
  expect(await ask(tcp(`127.0.0.1:${port}`))).toMatchObject({ ok: false, message: 'connection refused' });
  expect(await ask(tcp('nonsense'))).toMatchObject({ ok: false, message: '"nonsense" is not HOST:PORT' });
  expect((await ask(tcp('${MISSING}:1'))).message).toContain('${MISSING}');
});

it('http from the host: 2xx or the statuses named, redirects not followed, a silent server cut off', async () => {
  const port = await listen(
    createHttpServer((request, response) => {
      if (request.url === '/silent') return;
      const status = Number(request.url?.slice(1));
      response.writeHead(status, status === 302 ? { location: '/200' } : {}).end('x'.repeat(100_000));
    }),
  );
  const http = (path: string, status: readonly number[] | null = null): ProbeSpec => ({
    kind: 'http',
    url: `http://\${HOST}:${port}${path}`,
    from: 'host',
    status,
  });
  expect(await ask(http('/200'))).toMatchObject({ ok: true, message: 'HTTP 200' });
  expect(await ask(http('/503'))).toMatchObject({ ok: false, message: 'HTTP 503' });
  expect(await ask(http('/302'))).toMatchObject({ ok: false, message: 'HTTP 302' });
  expect(await ask(http('/401', [200, 401]))).toMatchObject({ ok: true });
  const silent = await ask(http('/silent'), 150);
  expect(silent).toMatchObject({ ok: false, message: 'no answer within 150 ms' });
  expect(silent.durationMs).toBeLessThan(4_000);
});

it('tcp and http from the container reach what listens on its loopback only', async () => {
  const serve = 'echo ok > /tmp/index.html; exec httpd -f -p 127.0.0.1:8099 -h /tmp';
  await bench.start(bench.run('process'), serve);
  const tcp = (from: 'host' | 'container'): ProbeSpec => ({ kind: 'tcp', address: '127.0.0.1:8099', from });
  await waitFor(async () => (await ask(tcp('container'))).ok, { what: 'httpd to listen', timeoutMs: 30_000 });
  expect(await ask(tcp('host'))).toMatchObject({ ok: false });
  const http = (path: string): ProbeSpec => ({ kind: 'http', url: `http://127.0.0.1:8099${path}`, from: 'container', status: null });
  expect(await ask(http('/index.html'))).toMatchObject({ ok: true, message: 'HTTP 200' });
  expect(await ask(http('/absent'))).toMatchObject({ ok: false, message: 'HTTP 404' });
  expect(await ask({ kind: 'tcp', address: '127.0.0.1:1', from: 'container' })).toMatchObject({ ok: false, message: 'connection refused' });
});

it('exec: exit code, last line, variables, and a deadline that leaves nothing behind', async () => {
  const exec = (text: string): ProbeSpec => ({ kind: 'exec', run: { text } });
  expect(await ask(exec('test "$HOST" = 127.0.0.1'))).toMatchObject({ ok: true });
  expect(await ask(exec('echo first; echo "no such marker" >&2; exit 3'))).toMatchObject({
    ok: false,
    message: 'exit code 3: no such marker',
  });
  // Long enough for it to begin on a busy machine: what has not begun at its deadline is another matter.
  expect((await ask(exec('sleep 4001'), 3_000)).ok).toBe(false);
  const left = (): unknown[] =>
    listProcesses().filter(({ cgroup, cmdline }) => cgroup.includes(bench.containerId) && cmdline.join(' ').includes('sleep 4001'));
  await waitFor(() => left().length === 0, { what: 'the command to be killed' });
  expect((await ask({ kind: 'exec', run: { argv: ['nowhere'] } })).ok).toBe(false);
});

it('the prober asks on until the check is no longer wanted', async () => {
  const results: (ProbeResult | MountProbeResult)[] = [];
  const prober = new Prober({
    engine: bench.engine,
    clock: systemClock,
    mounts: bench.mountProbes,
    shell: () => null,
    onResult: (_key, _kind, result) => void results.push(result),
  });
  const probe: DesiredProbe = {
    key: 'ready/marker',
    kind: 'ready',
    spec: { name: 'marker', probe: { kind: 'exec', run: { text: 'test -e /tmp/marker' } }, intervalMs: 200, timeoutMs: 5_000 },
    containerId: bench.containerId,
    containerPid,
    vars,
  };
  prober.set([probe]);
  onTestFinished(() => prober.dispose());
  await waitFor(() => results.length >= 2, { what: 'two answers', timeoutMs: 30_000 });
  expect(results.every((result) => 'ok' in result && !result.ok)).toBe(true);
  await bench.engine.exec(bench.containerId, { argv: ['touch', '/tmp/marker'] });
  await waitFor(() => results.some((result) => 'ok' in result && result.ok), { what: 'the marker to be seen', timeoutMs: 30_000 });
});
