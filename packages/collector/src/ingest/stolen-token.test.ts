/** Somebody who has stolen the token of one host, and nothing else: what he can do to that host and to others, through the door of all agents. */
import { systemClock } from '@relight/shared/clock';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createCollector, type Collector, type CollectorOptions } from '../app.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import { readConfig } from '../config.ts';
import { openForWriting } from '../store/database.ts';
import { tokenWrites } from '../store/token-store.ts';
import { AgentClient } from './agent-client.ts';

let dataDir: string;
let collector: Collector;
let url: string;
let warnings: string[];
const clients: AgentClient[] = [];

async function start(more: Partial<CollectorOptions> = {}): Promise<void> {
  const config = readConfig({ file: 'c.yaml', text: 'version: 1\ntrusted_proxies: [127.0.0.1]\n' }, [{ listen: '127.0.0.1:0', dataDir }]);
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push((JSON.parse(line) as { msg: string }).msg) });
  collector = await createCollector({ config, clock: systemClock, logger, version: 'test', ...more });
  ({ url } = await collector.listen());
}
function tokenOf(host: string): string {
  const db = openForWriting(dataDir);
  const { token } = tokenWrites(db).createToken('agent', host, 1);
  db.close();
  return token;
}
function dial(token: string, address: string): AgentClient {
  const client = new AgentClient(url, token, undefined, { 'x-forwarded-for': address });
  clients.push(client);
  return client;
}
/** It comes from an address of its own, is let in, and is heard. */
async function welcome(host: string, token: string, address: string): Promise<AgentClient> {
  const client = dial(token, address);
  await client.hello({ host, agentId: `agent-of-${host}`, machineId: `machine-of-${host}` });
  return client;
}

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-stolen-'));
  warnings = [];
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await collector.close();
  rmSync(dataDir, { recursive: true });
});

it('connections that say no hello, from as many networks as he likes, take no place of others, nor keep the host itself out', async () => {
  await start({ admission: { perSecond: 1_000, handshakesMax: 30 } });
  const stolen = tokenOf('robbed');
  const silent: AgentClient[] = [];
  for (let index = 0; index < 60; index += 1) {
    const client = dial(stolen, `203.0.113.${index % 4}`);
    silent.push(client);
    expect(await client.upgrade()).toMatchObject({ status: 101 });
  }
  await waitFor(() => silent.filter(({ closed }) => closed === null).length === 20, { what: 'those too many to be ended' });
  expect(silent.findIndex(({ closed }) => closed === null)).toBe(40);
  await welcome('honest', tokenOf('honest'), '198.51.100.1');
  await welcome('robbed', stolen, '198.51.100.2');
});

it('dialling from as many networks as he likes leaves others what there is for all, and lets the host in from where it was', async () => {
  await start({ admission: { perSecond: 200, handshakesMax: 1_000 } });
  const stolen = tokenOf('robbed');
  (await welcome('robbed', stolen, '198.51.100.2')).socket.terminate();
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: 250 }, (_, index) => dial(stolen, `203.0.113.${index}`).upgrade()));
  const mayBe = 100 + 10 * Math.ceil((performance.now() - began) / 1_000);
  const refused = answers.filter(({ status }) => status !== 101);
  expect(answers.length - refused.length).toBeLessThanOrEqual(mayBe);
  expect(refused[0]).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) });
  await welcome('honest', tokenOf('honest'), '198.51.100.1');
  await welcome('robbed', stolen, '198.51.100.2');
});
