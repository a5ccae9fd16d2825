import { expect, test } from 'vitest';
import { ManualClock } from '@relight/shared/manual-clock';
import { FakeFleet, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import { Bus } from '../bus.ts';
import { readConfig } from '../config.ts';
import type { AlertRecord, CollectorEvent } from '../store/store.ts';
import { Allowances } from '../ingest/allowances.ts';
import { startAlerts } from './start.ts';

const minute = 60_000;
const url = 'http://127.0.0.1:9/hook';

class Bench {
  readonly store = new MemoryStore();
  readonly bus = new Bus();
  readonly fleet = new FakeFleet();
  readonly clock = new ManualClock();
  readonly logged: string[] = [];
  /** Of two alerts at once, and another one in a minute. */
  readonly allowances = new Allowances({ clock: this.clock, warn: () => undefined, limits: { burstBytes: 4_000, bytesPerSecond: 34 } });

  constructor() {
    this.fleet.put(hostRecord('a', { stateSince: this.clock.now() - 10 * minute }));
  }

  start(urls: readonly string[] = [`${url}?token=secret`, url], type: 'webhook' | 'alertmanager' = 'webhook'): { close(): Promise<void> } {
    const { store, bus, fleet, clock } = this;
    const note = (_data: object, message: string): void => void this.logged.push(message);
    return startAlerts({
      store,
      bus,
      fleet,
      clock,
      allowances: this.allowances,
      logger: { warn: note, error: note },
      config: {
        ...readConfig(null).alerts,
        sinks: urls.map((address) => ({ type, url: address })),
      },
    });
  }

  async commitRestart(): Promise<void> {
    const data = { countsAsFailure: true, level: 'process' };
    const event: CollectorEvent = {
      at: this.clock.now(),
      host: 'a',
      workload: 'w',
      generation: 1,
      kind: 'restart.scheduled',
      severity: 'warning',
      message: 'again',
      data,
    };
    this.bus.publish('events', [await this.store.commitOwnEvent(event)]);
  }

  alerts(): AlertRecord[] {
    return [...this.store.alertRows.values()];
  }

  get told(): string[] {
    return this.store.notifications.map((record) => `${record.sink} ${(JSON.parse(record.body) as { status: string }).status}`);
  }
}

test('an alert, its event and one notification for each sink; a restart of the collector repeats nothing', async () => {
  const bench = new Bench();
  const published: string[] = [];
  bench.bus.subscribe('alert', (alert) => void published.push(`${alert.rule} ${alert.state}`));
  const first = bench.start();
  for (let i = 0; i < 3; i += 1) await bench.commitRestart();
  await waitFor(
    () => {
      bench.clock.advance(1_000);
      return bench.told.length > 0;
    },
    { what: 'the alert' },
  );
  await first.close();
  expect(bench.told).toEqual([`${url} firing`, `${url} #2 firing`]);
  // Seen at once, told when no status has explained it.
  expect(published).toEqual(['RepeatedRestarts firing', 'RepeatedRestarts firing']);
  expect(bench.store.eventRows.at(-1)).toMatchObject({ kind: 'alert.firing', host: 'a', workload: 'w', severity: 'warning' });

  // Committed while nobody judged: a crash between the commit and the rules.
  await bench.commitRestart();
  const second = bench.start();
  await bench.commitRestart();
  await waitFor(() => bench.alerts()[0]?.severity === 'critical', { what: 'the fifth restart to count' });
  bench.clock.advance(15 * minute);
  await waitFor(
    () => {
      bench.clock.advance(1_000);
      return bench.alerts()[0]?.state === 'resolved';
    },
    { what: 'the alert to resolve' },
  );
  await second.close();
  expect(bench.alerts()).toHaveLength(1);
  expect(bench.store.notifications.filter((record) => record.sink === url)).toHaveLength(3);
  expect(bench.store.eventRows.map((event) => event.kind).filter((kind) => kind.startsWith('alert.'))).toEqual([
    'alert.firing',
    'alert.firing',
    'alert.resolved',
  ]);
});

test('Alertmanager is told of an alert that gets worse as of another one, and that the milder one is over, also behind a restart', async () => {
  const bench = new Bench();
  const address = 'http://127.0.0.1:9';
  const told = (): unknown[] =>
    bench.store.notifications.map(({ sink, body }) => [
      sink,
      (JSON.parse(body) as { labels: { severity: string }; endsAt?: string }[]).map(({ labels, endsAt }) => [
        labels.severity,
        endsAt !== undefined,
      ]),
    ]);
  const tick = (count: number): Promise<boolean> =>
    waitFor(
      () => {
        bench.clock.advance(1_000);
        return told().length >= count;
      },
      { what: `message ${count}` },
    );
  const first = bench.start([address], 'alertmanager');
  for (let i = 0; i < 3; i += 1) await bench.commitRestart();
  await tick(1);
  await first.close();
  const second = bench.start([address], 'alertmanager');
  for (let i = 0; i < 2; i += 1) await bench.commitRestart();
  await tick(2);
  bench.clock.advance(15 * minute);
  await tick(3);
  await second.close();
  expect(told()).toEqual(
    [
      [['warning', false]],
      [
        ['warning', true],
        ['critical', false],
      ],
      [['critical', true]],
    ].map((alerts) => [`${address}/api/v2/alerts`, alerts]),
  );
});

test('what many hosts have alike is one message of a webhook, stored with all of its alerts; Alertmanager is told of each at once', async () => {
  const bench = new Bench();
  const names = ['a', 'b', 'c'];
  const put = (raised: boolean): void =>
    bench.fleet.put(
      ...names.map((name) =>
        hostRecord(name, {
          conditions: raised
            ? [{ name: 'agent-refused', subject: '', severity: 'warning', since: 0, reason: 'its token was revoked', advice: '' }]
            : [],
        }),
      ),
    );
  const messages = (): { status: string; alerts: { labels: { host: string } }[] }[] =>
    bench.store.notifications.map(({ body }) => JSON.parse(body) as ReturnType<typeof messages>[number]);
  const until = (what: string, holds: () => boolean): Promise<unknown> =>
    waitFor(
      () => {
        bench.clock.advance(1_000);
        return holds();
      },
      { what },
    );
  put(true);
  const first = bench.start([url]);
  await until('the alerts', () => bench.alerts().length === 3);
  expect(messages()).toEqual([]);
  await until('the message', () => messages().length > 0);
  // Two are over, which waits to be told with others, also behind a restart; the store fails meanwhile.
  names.splice(1);
  bench.fleet.put(...['b', 'c'].map((name) => hostRecord(name)));
  await until('their end', () => bench.alerts().filter(({ state }) => state === 'resolved').length === 2);
  await first.close();
  expect(messages()).toHaveLength(1);
  const second = bench.start([url]);
  bench.store.failure = new Error('disk full');
  await until('the failure', () => bench.logged.length > 0);
  bench.store.failure = null;
  await until('what is over', () => messages().length > 1);
  put(false);
  await until('that all is over', () => messages().length > 2);
  await second.close();
  expect(messages().map(({ status, alerts }) => [status, ...alerts.map(({ labels }) => labels.host)])).toEqual([
    ['firing', 'a', 'b', 'c'],
    ['firing', 'a', 'b', 'c'],
    ['resolved', 'a'],
  ]);

  const other = new Bench();
  other.fleet.put(...bench.fleet.hosts().map((host) => ({ ...host, state: 'stopped' as const, stateSince: 0 })));
  const alertmanager = other.start(['http://127.0.0.1:9'], 'alertmanager');
  await waitFor(() => other.store.notifications.length === 3, { what: 'three alerts' });
  await alertmanager.close();
});

test('a store that cannot be written delays an alert, and loses none', async () => {
  const bench = new Bench();
  bench.store.failure = new Error('disk full');
  const alerts = bench.start();
  for (let i = 0; i < 3; i += 1) await bench.commitRestart();
  await waitFor(() => bench.logged.length > 0, { what: 'the failure to be logged' });
  expect(bench.logged[0]).toContain('disk full');
  bench.store.failure = null;
  await waitFor(
    () => {
      bench.clock.advance(1_000);
      return bench.alerts().length === 1;
    },
    { what: 'the alert' },
  );
  await alerts.close();
  expect(bench.told).toEqual([`${url} firing`, `${url} #2 firing`]);
});

test('what waits under the address of a sink, as earlier versions named it, waits under its name; what is dropped tells no secret', async () => {
  const bench = new Bench();
  const former = ['http://u:p4ss@127.0.0.1:9/hook', 'http://127.0.0.1:9/p4ssp4ssp4ssp4ssp4ss', 'http://u:p4ss@127.0.0.1:9/gone'];
  const alert: AlertRecord = {
    id: 'HostDead:a:1',
    rule: 'HostDead',
    severity: 'critical',
    host: 'a',
    workload: null,
    state: 'resolved',
    startsAt: bench.clock.now() - minute,
    endsAt: bench.clock.now(),
    summary: 'a is dead',
    labels: {},
    data: {},
  };
  const notifications = former.map((sink) => ({ sink, body: JSON.stringify({ status: 'firing', receiver: sink }) }));
  await bench.store.putAlerts([alert], notifications, 0);
  const alerts = bench.start([`${former[0]}?token=secret`, former[1] ?? '']);
  await waitFor(() => bench.store.eventRows.length > 0, { what: 'the one of a removed sink to be dropped' });
  await alerts.close();
  expect(bench.told).toEqual(['http://127.0.0.1:9/hook firing', 'http://127.0.0.1:9/… firing']);
  expect(bench.store.eventRows).toMatchObject([{ kind: 'alert.undelivered', data: { sink: 'http://127.0.0.1:9/gone' } }]);
  expect(JSON.stringify([bench.store.notifications, bench.store.eventRows, bench.logged])).not.toContain('p4ss');
});

test('a host that raises ever other alerts is heard no more than an honest one; what ends is told, and others are heard', async () => {
  const bench = new Bench();
  const alerts = bench.start();
  const hold = (host: string, name: string): void =>
    bench.fleet.put(hostRecord(host, { workloads: [workloadStatus(name, { phase: 'held' })] }));
  const of = (host: string): AlertRecord[] => bench.alerts().filter((alert) => alert.host === host);
  let round = 0;
  await waitFor(
    () => {
      round += 1;
      hold('a', `w${round}`);
      if (round > 20) hold('b', 'w');
      bench.clock.advance(1_000);
      return round > 40 && of('b').length > 0;
    },
    { what: 'forty rounds, and the alert of the other host' },
  );
  await alerts.close();
  expect(of('a').length).toBeGreaterThan(1);
  expect(of('a').length).toBeLessThan(6);
  expect(of('a').map(({ state }) => state)).toEqual(of('a').map(() => 'resolved'));
  expect(of('b')).toMatchObject([{ state: 'firing', workload: 'w' }]);
});
