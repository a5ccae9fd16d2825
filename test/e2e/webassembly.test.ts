/**
 * No WebAssembly in services: V8 of Node 24.21 was seen to end processes over the glue between it and JavaScript, which it compiles anew
 * after so many calls (Check failed: jit_page.has_value()). Whoever calls fetch has it in the process.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startLab, programs, runProgram } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';
import { watchWebAssembly } from '../support/webassembly-watch.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-webassembly-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

test('the watch sees fetch, in any thread', async () => {
  const watch = watchWebAssembly(mkdtempSync(join(directory, 'fetch-')));
  const server = createServer((_, response) => response.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const fetches = `fetch('http://127.0.0.1:${port}')`;
  const threaded = `import { Worker } from 'node:worker_threads'; new Worker(${JSON.stringify(fetches)}, { eval: true, execArgv: [] });`;
  for (const script of [fetches, threaded]) {
    expect(await runProgram(['--input-type=module', '--eval', script], watch.env)).toMatchObject({ code: 0, stderr: '' });
  }
  server.close();
  const users = new Set(watch.seen().flatMap(({ what, thread }) => (what === 'watching' ? [] : [thread === 0 ? 'main' : 'thread'])));
  expect(users).toEqual(new Set(['main', 'thread']));
});

test('neither collector nor agent has WebAssembly in its process, in no thread, with notifications sent', async () => {
  const watch = watchWebAssembly(directory);
  await using lab = await startLab({
    engineSocket: inject('engineSocket'),
    collectorThrough: ['env', ...Object.entries(watch.env).map(([name, value]) => `${name}=${value}`)],
    collector: { liveness: { heartbeat: '1s', suspect_after: '3s', dead_after: '6s', restart_grace: '1s' } },
  });
  const { port } = new URL(lab.url);
  const agent = await lab.addAgent({
    host: 'watched',
    workloads: [
      {
        name: 'worker',
        container: { image: inject('engineImage'), pull_policy: 'never', command: ['sleep', 'infinity'], network_mode: 'host' },
        process: { run: 'echo so far; exec sleep infinity' },
        ready: [{ http: `http://127.0.0.1:${port}/healthz` }, { tcp: `127.0.0.1:${port}` }, { exec: 'true' }],
      },
    ],
    service: { env: watch.env },
  });
  await lab.fleet.waitForPhase('watched', 'worker', 'ready', 60_000);
  await waitFor(async () => (await lab.relight('search', 'so', 'far', '--since', '1h')).stdout.includes('so far'), {
    what: 'the line of the worker to be found',
    everyMs: 200,
  });
  const services = [lab.collector.pid, agent.service.pid];
  await agent.service.kill();
  await waitFor(() => lab.webhook.alerts().some(({ labels }) => labels['alertname'] === 'HostDead'), {
    what: 'a notification',
    timeoutMs: 60_000,
  });
  const seen = watch.seen();
  const watched = seen.filter(({ what }) => what === 'watching');
  for (const pid of services) expect(watched.map((thread) => thread.pid)).toContain(pid);
  // The collector writes, reads and looks after its logs in threads of their own.
  expect(watched.filter(({ pid, thread }) => pid === lab.collector.pid && thread > 0).length).toBeGreaterThanOrEqual(3);
  expect(seen.filter(({ what }) => what !== 'watching')).toEqual([]);
  for (const file of Object.values(programs)) {
    const own = watchWebAssembly(mkdtempSync(join(directory, 'program-')));
    expect(await runProgram([file, '--help'], own.env)).toMatchObject({ code: 0 });
    expect(own.seen().map(({ what }) => what)).toEqual(['watching']);
  }
});
