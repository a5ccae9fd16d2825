/** Agents and collectors of neighbouring versions, in both orders: the version numbers are doctored, all else is as it is delivered. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@relight/agent/control/logger';
import { Incidents } from '@relight/agent/incidents/incidents';
import { IncidentStore } from '@relight/agent/incidents/store';
import { FollowingShipper } from '@relight/agent/logs/following-shipper';
import { FileOutbox } from '@relight/agent/outbox/file-outbox';
import { Uplink } from '@relight/agent/uplink/uplink';
import { createCollector, type Collector } from '@relight/collector/app';
import { readConfig } from '@relight/collector/config';
import { openForWriting } from '@relight/collector/store/database';
import { tokenWrites } from '@relight/collector/store/token-store';
import { systemClock } from '@relight/shared/clock';
import type { ProtocolRange } from '@relight/shared/protocol-version';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { selfPortrait } from '../support/self-portrait.ts';
import { eventually, waitFor } from '../support/wait.ts';

type Entry = Readonly<Record<string, unknown>>;
const only = (version: number): ProtocolRange => ({ oldest: version, newest: version });

let directory: string;
let ends: (() => Promise<void>)[];
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'relight-versions-'));
  ends = [];
});
afterEach(async () => {
  for (const end of ends.toReversed()) await end();
  fs.rmSync(directory, { recursive: true });
});

/** A logger, and what it was warned of. */
function listening(): { readonly logger: ReturnType<typeof createLogger>; readonly entries: Entry[] } {
  const entries: Entry[] = [];
  const copy = { write: (line: string) => void entries.push(JSON.parse(line) as Entry) };
  return { logger: createLogger({ level: 'warn', terminal: false, version: 'test', copy }), entries };
}

async function startCollector(protocols: ProtocolRange): Promise<{ url: string; operator: string; entries: readonly Entry[] }> {
  const dataDir = join(directory, 'collector');
  const { logger, entries } = listening();
  const config = readConfig(null, [{ listen: '127.0.0.1:0', dataDir }]);
  const collector: Collector = await createCollector({ config, clock: systemClock, logger, version: 'test', protocols });
  ends.push(() => collector.close());
  const { url } = await collector.listen();
  const db = openForWriting(dataDir);
  const operator = tokenWrites(db).createToken('operator', null, 1, { role: 'view' }).token;
  fs.writeFileSync(join(directory, 'token'), tokenWrites(db).createToken('agent', null, 1).token);
  db.close();
  return { url, operator, entries };
}

function startAgent(url: string, protocols: ProtocolRange): { uplink: Uplink; outbox: FileOutbox; entries: readonly Entry[] } {
  const { logger, entries } = listening();
  const stateDir = join(directory, 'agent');
  fs.mkdirSync(stateDir);
  const output = join(stateDir, 'run');
  fs.writeFileSync(output, 'said before the two met\n');
  const outbox = FileOutbox.open({ directory: join(stateDir, 'outbox'), newEpoch: () => 'epoch-1', clock: systemClock, logger });
  const logs = new FollowingShipper({
    directory: join(stateDir, 'logs'),
    clock: systemClock,
    logger,
    delivering: true,
    rateLimit: () => null,
  });
  logs.follow({ key: { workload: 'w', generation: 1, source: 'process', run: '1' }, path: output, format: 'raw' });
  const store = new IncidentStore({ stateDir, host: 'h', warn: () => undefined });
  const random = Math.random;
  const incidents = new Incidents({
    clock: systemClock,
    store,
    workloads: () => ['w'],
    random,
    delivering: true,
    history: outbox,
    gather: () => undefined,
  });
  const uplink = new Uplink({
    spec: { url, tokenFile: join(directory, 'token'), caFile: null, fingerprint: null, joinedFile: null },
    clock: systemClock,
    random,
    logger,
    outbox,
    logs,
    incidents,
    protocols,
    ...selfPortrait('9.8'),
    onAction: () => Promise.resolve({ ok: true, message: '' }),
  });
  outbox.append({ at: Date.now(), kind: 'host.notice', severity: 'info', message: 'happened before the two met', data: {} });
  uplink.start();
  ends.push(async () => {
    await uplink.stop('stopped');
    incidents.stop();
    logs.close();
    outbox.close();
  });
  return { uplink, outbox, entries };
}

it.each([
  { order: 'the collector first', agentSpeaks: only(1), collectorSpeaks: { oldest: 1, newest: 2 } },
  { order: 'the agent first', agentSpeaks: { oldest: 1, newest: 2 }, collectorSpeaks: only(1) },
])('one version apart, upgraded $order: events and lines arrive', async ({ agentSpeaks, collectorSpeaks }) => {
  const { url, operator } = await startCollector(collectorSpeaks);
  const { uplink } = startAgent(url, agentSpeaks);
  const get = async (path: string): Promise<string> =>
    (await fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${operator}` } })).text();
  const arrived = async (): Promise<boolean> => {
    const [events, lines] = await Promise.all([get('events?host=h'), get('logs?host=h')]);
    return events.includes('happened before the two met') && lines.includes('said before the two met');
  };
  await waitFor(arrived, { what: 'the event and the line' });
  await waitFor(() => uplink.state().clock !== null, { what: 'what the collector says of the clock' });
  expect(uplink.state()).toMatchObject({ connected: true, lastError: null });
});

it.each([
  {
    behind: 'agent',
    agentSpeaks: only(1),
    collectorSpeaks: { oldest: 2, newest: 3 },
    reason: 'the agent speaks protocol 1, the collector 2 to 3: upgrade the agent',
  },
  {
    behind: 'collector',
    agentSpeaks: { oldest: 2, newest: 3 },
    collectorSpeaks: only(1),
    reason: 'the agent speaks protocol 2 to 3, the collector 1: upgrade the collector',
  },
])(
  'versions too far apart (upgrade the $behind): refused, both sides say why, and nothing is lost',
  async ({ agentSpeaks, collectorSpeaks, reason }) => {
    const { url, entries: collectorSaid } = await startCollector(collectorSpeaks);
    const { uplink, outbox, entries: agentSaid } = startAgent(url, agentSpeaks);
    await waitFor(() => uplink.state().lastError === reason, { what: 'the agent to know why' });
    expect(uplink.state()).toMatchObject({ connected: false, lagEvents: 1 });
    expect(outbox.read(0, 10)).toHaveLength(1);
    expect(agentSaid).toContainEqual(expect.objectContaining({ code: 'protocol', reason, advice: 'Upgrade the older side.' }));
    // It is in the audit log first.
    const told = expect.objectContaining({ code: 'protocol', err: expect.objectContaining({ message: `h (version 9.8): ${reason}` }) });
    await eventually(() => expect(collectorSaid).toContainEqual(told), { what: 'the line of the collector' });
  },
);
