/** The head moves, and goes down, while a workload is being set up: the process meets it where it is then, and no step runs twice. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { at } from '../support/bystander.ts';
import { Head } from '../support/head.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';

const host = 'long-setup';
/** What was asked within the last ten seconds is not asked again. */
const setupSeconds = 11;
const directory = mkdtempSync(join(tmpdir(), 'relight-head-'));
const address = join(directory, 'address');
let lab: Lab;
const head = new Head();

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(async () => {
  await head.close();
  rmSync(directory, { recursive: true, force: true });
  await lab?.dispose();
});

test('the head moves during the setup and is down when it is over: waited for without cost, met at its new address', async () => {
  await head.open();
  const first = head.address;
  writeFileSync(address, `${first}\n`);
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
  await head.close();
  await head.open();
  await head.close();
  const second = head.address;
  writeFileSync(address, `${second}\n`);

  const waiting = await lab.fleet.waitForPhase(host, 'worker', 'waiting');
  expect(waiting).toMatchObject({ generation: 1, restarts: { process: 0, container: 0, host: 0 } });
  expect(waiting.reason).toContain(second);
  const { containerId } = waiting;
  const changed = await waitFor(async () => (await lab.fleet.events({ host, kind: 'host.notice' })).find(({ data }) => data['variable']), {
    what: 'the word of the variable that has changed',
  });
  expect(changed).toMatchObject({ severity: 'warning', data: { variable: 'HEAD', usedInside: true } });
  expect(changed.message).not.toContain(second);

  const back = Date.now();
  await head.reopen();
  // Everything that happened before has arrived with it.
  const isReady = await lab.fleet.waitForEvent({ host, kind: 'workload.ready' }, () => true, 'the word that it is ready');
  // It is asked every 0.6 s; a process is started and asked, on a busy machine.
  expect(at(isReady) - back).toBeLessThan(8_000);
  const ready = await lab.fleet.waitForPhase(host, 'worker', 'ready');
  expect(ready).toMatchObject({ generation: 1, containerId, restarts: { process: 0, container: 0, host: 0 } });
  const read = async (path: string): Promise<string> =>
    (await lab.engine.exec(containerId ?? '', { argv: ['cat', path], env: {} }, { timeoutMs: 30_000 })).stdout;
  expect(await read('/joined')).toBe(`${second}\n`);
  expect(await read('/steps')).toBe(`set up at ${first}\n`);
  const kinds = (await lab.fleet.events({ host })).map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === 'check.failed' || kind === 'check.recovered')).toEqual(['check.failed', 'check.recovered']);
  expect(kinds.filter((kind) => kind === 'setup.step-started' || kind === 'restart.scheduled')).toEqual(['setup.step-started']);
  await agent.service.stop();
});
