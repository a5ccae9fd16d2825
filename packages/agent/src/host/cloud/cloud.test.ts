import { ManualClock } from '@relight/shared/manual-clock';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Answer, startMetadataServer } from '../../../../../test/support/metadata-server.ts';
import { awsNotices, parseRebalance, parseScheduled, parseSpot } from './aws.ts';
import { azureNotices, parseScheduledEvents } from './azure.ts';
import { metadataFromEnvironment, providerOf, readDmi } from './detect.ts';
import { gcpNotices, parseMaintenanceEvent, parsePreempted, parseUpcoming } from './gcp.ts';
import { metadataServer, parseJson } from './metadata.ts';
import { isImminent, noticeCondition, worstImminent, type CloudNotice, type CloudProvider } from './notice.ts';
import { CloudWatch } from './watcher.ts';

const gcp = '/computeMetadata/v1/instance';
const aws = '/latest/meta-data';
const azureEvents = '/metadata/scheduledevents?api-version=2020-07-01';
const azureName = '/metadata/instance/compute/name?api-version=2021-02-01&format=text';
const now = Date.UTC(2026, 0, 1);

const gcpServer = () => startMetadataServer((headers) => headers['metadata-flavor'] === 'Google');
const awsServer = async () => {
  const server = await startMetadataServer(
    (headers, path) => path === '/latest/api/token' || headers['x-aws-ec2-metadata-token'] === 'TOKEN==',
  );
  server.answers.set('/latest/api/token', { body: 'TOKEN==' });
  return server;
};
const azureServer = async (name = 'vm_0') => {
  const server = await startMetadataServer((headers) => headers['metadata'] === 'true');
  server.answers.set(azureName, { body: name });
  return server;
};
/** However long the machine takes to carry an answer over. */
const timeoutMs = 60_000;
const ask = (base: string) => metadataServer(base, timeoutMs);
/** Of a server that may not answer at all. */
const askBriefly = (base: string) => metadataServer(base, 300);

describe('Google Cloud', () => {
  test('nothing, preempted, maintenance, a window', async () => {
    const { base, answers, asked } = await gcpServer();
    answers.set(`${gcp}/preempted`, { body: 'FALSE' });
    answers.set(`${gcp}/maintenance-event`, { body: 'NONE' });
    expect(await gcpNotices(ask(base))).toEqual([]);
    expect(asked.map(({ path }) => path).toSorted()).toEqual([
      `${gcp}/maintenance-event`,
      `${gcp}/preempted`,
      `${gcp}/upcoming-maintenance?alt=json`,
    ]);
    answers.set(`${gcp}/preempted`, { body: 'TRUE\n' });
    expect(await gcpNotices(ask(base))).toMatchObject([{ kind: 'preemption', at: null }]);
    answers.set(`${gcp}/preempted`, { body: 'FALSE' });
    answers.set(`${gcp}/maintenance-event`, { body: 'TERMINATE_ON_HOST_MAINTENANCE' });
    answers.set(`${gcp}/upcoming-maintenance?alt=json`, {
      body: '{"type":"SCHEDULED","maintenance_status":"PENDING","window_start_time":"2026-01-01T02:00:00+00:00","can_reschedule":"TRUE"}',
    });
    expect(await gcpNotices(ask(base))).toMatchObject([
      { kind: 'maintenance', at: null },
      { kind: 'maintenance', at: now + 2 * 3_600_000 },
    ]);
  });

  test('a live migration is a pause', () => {
    expect(parseMaintenanceEvent('MIGRATE_ON_HOST_MAINTENANCE')).toMatchObject([{ kind: 'freeze' }]);
    expect(parseUpcoming({ maintenanceStatus: 'ONGOING' })).toMatchObject([{ kind: 'maintenance', at: null }]);
  });
});

describe('AWS', () => {
  test('nothing, then a spot notice with its time; the token is asked first', async () => {
    const { base, answers, asked } = await awsServer();
    expect(await awsNotices(ask(base))).toEqual([]);
    expect(asked[0]).toMatchObject({ method: 'PUT', path: '/latest/api/token' });
    expect(asked[0]?.headers['x-aws-ec2-metadata-token-ttl-seconds']).toBe('300');
    answers.set(`${aws}/spot/instance-action`, { body: '{"action": "terminate", "time": "2026-01-01T00:02:00Z"}' });
    expect(await awsNotices(ask(base))).toMatchObject([{ kind: 'preemption', at: now + 120_000 }]);
  });

  test('scheduled events and rebalance', () => {
    const event = {
      NotBefore: '21 Jan 2026 09:00:43 GMT',
      Code: 'system-reboot',
      Description: 'scheduled reboot',
      EventId: 'instance-event-0',
      NotAfter: '21 Jan 2026 09:17:23 GMT',
      State: 'active',
    };
    expect(parseScheduled([event, { ...event, State: 'completed' }, { ...event, Code: 'instance-retirement' }, 7])).toMatchObject([
      { kind: 'reboot', at: Date.UTC(2026, 0, 21, 9, 0, 43) },
      { kind: 'preemption' },
    ]);
    const [rebalance] = parseRebalance({ noticeTime: '2026-01-01T00:00:00Z' });
    expect(rebalance).toMatchObject({ uncertain: true });
    expect(isImminent(rebalance as CloudNotice, now)).toBe(false);
  });

  test('without a token nothing else is asked', async () => {
    const { base, answers, asked } = await awsServer();
    answers.set('/latest/api/token', { body: '<html>login</html>' });
    expect(await awsNotices(ask(base))).toBeNull();
    expect(asked).toHaveLength(1);
  });
});

describe('Azure', () => {
  const event = { EventId: 'e', EventType: 'Preempt', ResourceType: 'VirtualMachine', EventStatus: 'Scheduled', EventSource: 'Platform' };

  test('only what names this machine', async () => {
    const { base, answers } = await azureServer('vm_0');
    answers.set(azureEvents, {
      body: JSON.stringify({
        DocumentIncarnation: 2,
        Events: [
          { ...event, Resources: ['vm_1', 'vm_2'], NotBefore: 'Thu, 01 Jan 2026 00:00:30 GMT' },
          { ...event, Resources: ['vm_0'], EventType: 'Freeze', NotBefore: 'Thu, 01 Jan 2026 00:15:00 GMT', Description: 'host' },
          { ...event, Resources: ['vm_0'], EventType: 'Reboot', EventStatus: 'Started', NotBefore: '' },
          { ...event, Resources: ['vm_0'], EventType: 'Reboot', EventStatus: 'Completed', NotBefore: '' },
          { ...event, Resources: ['vm_0'], EventType: 'SomethingNew', NotBefore: '' },
          'garbage',
        ],
      }),
    });
    expect(await azureNotices(ask(base))).toMatchObject([
      { kind: 'freeze', at: now + 15 * 60_000 },
      { kind: 'reboot', at: null },
    ]);
  });

  test('who does not know its own name concludes nothing', async () => {
    const { base, answers } = await azureServer();
    answers.delete(azureName);
    answers.set(azureEvents, { body: JSON.stringify({ Events: [{ ...event, Resources: ['vm_0'] }] }) });
    expect(await azureNotices(ask(base))).toBeNull();
  });
});

describe('a server in trouble says nothing', () => {
  const bad: readonly (readonly [string, Answer])[] = [
    ['404', { status: 404, body: 'TRUE' }],
    ['500', { status: 500, body: 'TRUE' }],
    ['a redirect', { status: 302, headers: { location: '/elsewhere' }, body: 'TRUE' }],
    ['silence', 'hang'],
    ['a trickle', 'trickle'],
  ];
  const html: Answer = { body: '<html><body>TRUE {"action":"terminate"}</body></html>' };
  const sources = [
    ['gcp', gcpServer, gcpNotices, [`${gcp}/preempted`, `${gcp}/maintenance-event`, `${gcp}/upcoming-maintenance?alt=json`]],
    ['aws', awsServer, awsNotices, ['/latest/api/token']],
    ['azure', azureServer, azureNotices, [azureEvents]],
  ] as const;

  test.each(
    sources.flatMap(([name, start, notices, paths]) => bad.map(([what, answer]) => [name, what, start, notices, paths, answer] as const)),
  )('%s: %s', async (_name, _what, start, notices, paths, answer) => {
    const { base, answers, asked } = await start();
    answers.set('/elsewhere', { body: 'TRUE' });
    for (const path of paths) answers.set(path, answer);
    expect(await notices(askBriefly(base))).toBeNull();
    expect(asked.map(({ path }) => path)).not.toContain('/elsewhere');
  });

  test.each(sources)('%s: a page of a proxy', async (_name, start, notices, paths) => {
    const { base, answers } = await start();
    for (const path of paths) answers.set(path, html);
    expect((await notices(ask(base))) ?? []).toEqual([]);
  });

  test('nobody listens, or more comes than anybody would say', async () => {
    expect(await gcpNotices(ask('http://127.0.0.1:1'))).toBeNull();
    const { base, answers } = await gcpServer();
    answers.set(`${gcp}/preempted`, { body: 'x'.repeat(1_000_000) });
    expect(await gcpNotices(ask(base))).toBeNull();
  });

  test('whatever it says, nothing is thrown', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const json = parseJson(text);
        const said = [parseUpcoming, parseSpot, parseScheduled, parseRebalance].flatMap((parse) => parse(json));
        expect([...said, ...parsePreempted(text), ...parseMaintenanceEvent(text), ...parseScheduledEvents(json, 'vm')]).toEqual([]);
      }),
    );
  });
});

describe('the watch', () => {
  function watch(provider: CloudProvider, base: string) {
    const clock = new ManualClock(now);
    const departures: (string | null)[] = [];
    let conditions: string[] = [];
    const cloud = new CloudWatch({
      clock,
      provider,
      base,
      timeoutMs,
      report: (list) => (conditions = list.map(({ name, reason }) => `${name}: ${reason}`)),
      onDeparture: (notice) => void departures.push(notice?.kind ?? null),
    });
    return { clock, cloud, departures, conditions: () => conditions };
  }

  test('a preemption is told once, and is not called off by a server that stumbles', async () => {
    const { base, answers } = await gcpServer();
    answers.set(`${gcp}/preempted`, { body: 'FALSE' });
    const { cloud, departures, conditions } = watch('gcp', base);
    await cloud.look();
    expect([departures, conditions()]).toEqual([[], []]);
    answers.set(`${gcp}/preempted`, { body: 'TRUE' });
    await cloud.look();
    await cloud.look();
    expect(departures).toEqual(['preemption']);
    expect(conditions()).toEqual([
      'preemption: Google Cloud announces that it takes this machine away now: the VM is preempted, about 30 s are left',
    ]);
    answers.set(`${gcp}/preempted`, { status: 500 });
    await cloud.look();
    answers.set(`${gcp}/maintenance-event`, { body: 'NONE' });
    await cloud.look();
    expect(departures).toEqual(['preemption']);
    await cloud.look();
    await cloud.look();
    expect(departures).toEqual(['preemption', null]);
    expect(cloud.departure).toBeNull();
  });

  test('what comes in two weeks holds nothing back; ten minutes before it does', async () => {
    const { base, answers } = await awsServer();
    const at = now + 14 * 86_400_000;
    answers.set(`${aws}/events/maintenance/scheduled`, {
      body: JSON.stringify([{ Code: 'system-reboot', State: 'active', NotBefore: new Date(at).toUTCString() }]),
    });
    const { clock, cloud, departures, conditions } = watch('aws', base);
    await cloud.look();
    expect(departures).toEqual([]);
    expect(conditions()).toEqual([expect.stringContaining('maintenance-scheduled: AWS announces a reboot of this machine in 14 d')]);
    clock.advance(14 * 86_400_000 - 600_000);
    await cloud.look();
    expect(departures).toEqual(['reboot']);
    expect(conditions()).toEqual([expect.stringContaining('maintenance: AWS announces a reboot of this machine in 10 m')]);
    clock.advance(40 * 60_000);
    for (let i = 0; i < 3; i += 1) await cloud.look();
    expect(departures).toEqual(['reboot', null]);
  });

  test('a preemption counts more than what is nearer', () => {
    const preemption: CloudNotice = { kind: 'preemption', at: now + 120_000, text: 'spot' };
    const reboot: CloudNotice = { kind: 'reboot', at: now, text: 'reboot' };
    expect(worstImminent([reboot, preemption], now)).toBe(preemption);
    expect(noticeCondition(preemption, 'aws', now).reason).toContain('in 2 m');
  });

  test('carries how long is left, where the cloud says so', () => {
    const leftMs = (notice: CloudNotice | undefined) => noticeCondition(notice!, 'gcp', now).data?.['leftMs'];
    expect(leftMs(parsePreempted('TRUE')[0])).toBe(30_000);
    expect(leftMs(parseMaintenanceEvent('TERMINATE_ON_HOST_MAINTENANCE')[0])).toBeUndefined();
    const window = { maintenanceStatus: 'PENDING', windowStartTime: '2026-01-01T02:00:00Z' };
    expect(leftMs(parseUpcoming(window)[0])).toBe(2 * 3_600_000);
    expect(leftMs(parseSpot({ action: 'terminate', time: '2026-01-01T00:02:00Z' })[0])).toBe(120_000);
    expect(leftMs(parseSpot({ action: 'terminate', time: '2025-12-31T23:59:00Z' })[0])).toBe(0);
    expect(leftMs(parseRebalance({ noticeTime: '2026-01-01T00:01:00Z' })[0])).toBeUndefined();
    const preempt = { EventType: 'Preempt', EventStatus: 'Scheduled', Resources: ['vm'], NotBefore: 'Thu, 01 Jan 2026 00:00:30 GMT' };
    expect(leftMs(parseScheduledEvents({ Events: [preempt] }, 'vm')[0])).toBe(30_000);
  });
});

describe('which cloud', () => {
  const none = { sysVendor: '', productName: '', biosVendor: '', chassisAssetTag: '' };
  test.each([
    [{ ...none, sysVendor: 'Google', productName: 'Google Compute Engine', biosVendor: 'Google' }, 'gcp'],
    [{ ...none, sysVendor: 'Amazon EC2', productName: 'g5.xlarge', biosVendor: 'Amazon EC2' }, 'aws'],
    [{ ...none, sysVendor: 'Xen', productName: 'HVM domU', biosVendor: '4.11.amazon' }, 'aws'],
    [{ ...none, sysVendor: 'Microsoft Corporation', chassisAssetTag: '7783-7084-3265-9085-8269-3286-77' }, 'azure'],
    [{ ...none, sysVendor: 'Microsoft Corporation', productName: 'Virtual Machine' }, null],
    [{ ...none, sysVendor: 'Dell Inc.', productName: 'PowerEdge R750' }, null],
    [none, null],
  ])('%j is %s', (dmi, provider) => {
    expect(providerOf(dmi)).toBe(provider);
  });

  test('a machine without DMI', () => {
    expect(readDmi('/nonexistent')).toEqual(none);
  });

  test('told by the environment', () => {
    expect(metadataFromEnvironment(undefined)).toBeNull();
    expect(metadataFromEnvironment('aws+http://127.0.0.1:80')).toEqual({ provider: 'aws', base: 'http://127.0.0.1:80' });
    expect(() => metadataFromEnvironment('http://127.0.0.1')).toThrow('gcp+http://HOST:PORT');
  });
});
