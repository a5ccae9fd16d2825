/** The head moves, and goes down, while a workload is being set up: the process meets it where it is then, and no step runs twice. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startLab, type Lab } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';

const host = 'long-setup';
/** What was asked within the last ten seconds is not asked again. */
const setupSeconds = 11;
const directory = mkdtempSync(join(tmpdir(), 'relight-head-'));
const address = join(directory, 'address');
let lab: Lab;
const heads: Server[] = [];

async function raiseHead(port = 0): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  heads.push(server);
  return (server.address() as AddressInfo).port;
}

const killHead = async (): Promise<void> => new Promise((resolve) => void (heads.pop()?.close(() => resolve()) ?? resolve()));

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(async () => {
  while (heads.length > 0) await killHead();
  rmSync(directory, { recursive: true, force: true });
  await lab?.dispose();
});

test('the head moves during the setup and is down when it is over: waited for without cost, met at its new address', async () => {
  const first = await raiseHead();
  writeFileSync(address, `127.0.0.1:${first}\n`);
  const agent = await lab.addAgent({
    host,
    config: { vars: { HEAD: { run: `cat ${address}`, timeout: '5s' } } },
    workloads: [
      {
        name: 'worker',
        container: { name: `${host}-${process.pid}`, image: inject('engineImage'), pull_policy: 'never', command: ['sleep', 'infinity'] },
        depends_on: [{ tcp: '${HEAD}', timeout: '1s' }],
        setup: [{ name: 'long', run: `echo "set up at $HEAD" >> /steps; sleep ${setupSeconds}` }],
        process: { run: 'echo "$HEAD" > /joined; exec sleep 100000', stop_timeout: '1s' },
        ready: [{ exec: 'test -s /joined', interval: '200ms' }],
      },
    ],
  });
  await lab.fleet.waitForPhase(host, 'worker', 'setting-up');
  await killHead();
  const second = await raiseHead();
  await killHead();
  writeFileSync(address, `127.0.0.1:${second}\n`);

  const waiting = await lab.fleet.waitForPhase(host, 'worker', 'waiting');
  expect(waiting).toMatchObject({ generation: 1, restarts: { process: 0, container: 0, host: 0 } });
  expect(waiting.reason).toContain(`127.0.0.1:${second}`);
  const { containerId } = waiting;
  const changed = await waitFor(async () => (await lab.fleet.events({ host, kind: 'host.notice' })).find(({ data }) => data['variable']), {
    what: 'the word of the variable that has changed',
  });
  expect(changed).toMatchObject({ severity: 'warning', data: { variable: 'HEAD', usedInside: true } });
  expect(changed.message).not.toContain(String(second));

  await raiseHead(second);
  const back = Date.now();
  const ready = await lab.fleet.waitForPhase(host, 'worker', 'ready');
  // It is asked every 0.6 s; a process is started and asked, on a busy machine.
  expect(Date.now() - back).toBeLessThan(8_000);
  // Everything that happened before has arrived with it.
  await lab.fleet.waitForEvent({ host, kind: 'workload.ready' }, () => true, 'the word that it is ready');
  expect(ready).toMatchObject({ generation: 1, containerId, restarts: { process: 0, container: 0, host: 0 } });
  const read = async (path: string): Promise<string> =>
    (await lab.engine.exec(containerId ?? '', { argv: ['cat', path], env: {} }, { timeoutMs: 30_000 })).stdout;
  expect(await read('/joined')).toBe(`127.0.0.1:${second}\n`);
  expect(await read('/steps')).toBe(`set up at 127.0.0.1:${first}\n`);
  const kinds = (await lab.fleet.events({ host })).map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === 'check.failed' || kind === 'check.recovered')).toEqual(['check.failed', 'check.recovered']);
  expect(kinds.filter((kind) => kind === 'setup.step-started' || kind === 'restart.scheduled')).toEqual(['setup.step-started']);
  await agent.service.stop();
});
