import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { Clock } from '@relight/shared/clock';
import { ManualClock } from '@relight/shared/manual-clock';
import { MemoryStore } from '../../../../../test/support/memory-store.ts';
import { waitFor } from '../../../../../test/support/wait.ts';
import { Bus } from '../../bus.ts';
import type { AlertRecord } from '../../store/store.ts';
import { alertmanagerAddress, alertmanagerSink } from './alertmanager.ts';
import { startDelivery } from './delivery.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const began = Date.UTC(2026, 0, 1);
const minute = 60_000;

function alertOf(host: string, more: Partial<AlertRecord> = {}, told: string | null = 'warning'): AlertRecord {
  return {
    id: `RepeatedRestarts:${host}/w:1`,
    rule: 'RepeatedRestarts',
    severity: 'warning',
    host,
    workload: 'w',
    state: 'firing',
    startsAt: began,
    endsAt: null,
    summary: `${host}/w restarted 3 times after failures`,
    labels: { alertname: 'RepeatedRestarts', host, workload: 'w' },
    data: { told, seenAt: began, caused: false },
    ...more,
  };
}

interface Posted {
  readonly labels: Readonly<Record<string, string>>;
  readonly startsAt: string;
  readonly endsAt?: string;
}

const sink = alertmanagerSink('am', 'http://am:9093/api/v2/alerts', 'https://relight.example');
const posted = (alert: AlertRecord, told: string | null, at = began + minute): readonly Posted[] =>
  JSON.parse(sink.format(alert, { told, at })) as readonly Posted[];
const brief = (alerts: readonly Posted[]) => alerts.map(({ labels, endsAt }) => [labels['severity'], endsAt ?? 'fires']);

test('an alert is what Alertmanager takes, without an end while it fires', () => {
  expect(posted(alertOf('a'), null)).toEqual([
    {
      labels: { alertname: 'RepeatedRestarts', host: 'a', workload: 'w', severity: 'warning' },
      annotations: {
        summary: 'a/w restarted 3 times after failures',
        description: 'RepeatedRestarts since 2026-01-01T00:00:00.000Z: a/w restarted 3 times after failures',
        runbook: 'relight incidents --host a --workload w; its last lines: relight tail --host a --workload w --previous',
      },
      startsAt: '2026-01-01T00:00:00.000Z',
      generatorURL: 'https://relight.example/api/v1/alerts',
    },
  ]);
});

test('one that gets worse is over as what it was; one that ends is over as what was told of it last', () => {
  const worse = alertOf('a', { severity: 'critical' }, 'critical');
  expect(brief(posted(worse, 'warning'))).toEqual([
    ['warning', '2026-01-01T00:01:00.000Z'],
    ['critical', 'fires'],
  ]);
  expect(brief(posted(worse, 'critical'))).toEqual([['critical', 'fires']]);
  const ended = { state: 'resolved', severity: 'critical', endsAt: began + minute } as const;
  expect(brief(posted(alertOf('a', ended, 'critical'), 'critical'))).toEqual([['critical', '2026-01-01T00:01:00.000Z']]);
  // It got worse while something else explained it: that was never told.
  expect(brief(posted(alertOf('a', ended, 'warning'), 'warning'))).toEqual([['warning', '2026-01-01T00:01:00.000Z']]);
  // A clock that was set back.
  expect(brief(posted(alertOf('a', { ...ended, endsAt: began - minute }, 'critical'), 'critical'))).toEqual([
    ['critical', '2026-01-01T00:00:00.000Z'],
  ]);
});

test('its address may have a prefix, credentials, and the path of the API already', () => {
  const address = (url: string): string => alertmanagerAddress(url);
  expect(address('http://am:9093')).toBe('http://am:9093/api/v2/alerts');
  expect(address('https://u:p@am/alertmanager/')).toBe('https://u:p@am/alertmanager/api/v2/alerts');
  expect(address('http://am:9093/api/v2/alerts')).toBe('http://am:9093/api/v2/alerts');
});

/** Keeps what is posted to it; `answerWith` says with what. */
async function alertmanager() {
  const messages: (readonly Posted[])[] = [];
  const state = { status: 200, refuses: '' };
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (piece) => (text += String(piece)));
    request.once('end', () => {
      messages.push(JSON.parse(text) as readonly Posted[]);
      const isRefused = state.refuses !== '' && text.includes(`"${state.refuses}"`);
      response.writeHead(isRefused ? 400 : state.status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, messages, state };
}

async function delivering(alerts: readonly AlertRecord[], status = 200) {
  const receiver = await alertmanager();
  receiver.state.status = status;
  const store = new MemoryStore();
  for (const alert of alerts) await store.putAlerts([alert], [], 0);
  const clock = new ManualClock(began);
  /** Messages on their way, each of which has ten seconds of this clock: it stands still for them. */
  let underWay = 0;
  const watched: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after(ms, fn) {
      const timer = clock.after(ms, fn);
      if (ms !== 10_000) return timer;
      underWay += 1;
      return { cancel: () => (timer.cancel(), void (underWay -= 1)) };
    },
  };
  const logged: string[] = [];
  const note = (_: object, message: string): void => void logged.push(message);
  const own = alertmanagerSink('am', alertmanagerAddress(receiver.url), '');
  const delivery = startDelivery({
    store,
    bus: new Bus(),
    clock: watched,
    logger: { warn: note, error: note },
    random: () => 0.5,
    sinks: [own],
  });
  cleanups.push(() => delivery.close());
  const arrived = (count: number): Promise<boolean> => waitFor(() => receiver.messages.length >= count, { what: `message ${count}` });
  /** Moves on until the next message: the loop must have come to its timer first, and the answer to the last one must be here. */
  const next = async (): Promise<number> => {
    const before = [receiver.messages.length, clock.now()] as const;
    await waitFor(
      () => {
        if (receiver.messages.length === before[0] && underWay === 0 && clock.pendingTimers > 0) clock.advance(1_000);
        return receiver.messages.length > before[0];
      },
      { what: 'the next message', everyMs: 5 },
    );
    return clock.now() - before[1];
  };
  return { ...receiver, store, delivery, logged, arrived, next, own };
}

const hosts = (message: readonly Posted[] | undefined) => message?.map(({ labels }) => labels['host']).toSorted();

test('what fires and was told is said at the start and again before it would be taken for over, and after its end no more', async () => {
  const untold = alertOf('untold', {}, null);
  const over = alertOf('over', { state: 'resolved', endsAt: began });
  const { messages, store, delivery, own, arrived, next } = await delivering([alertOf('a'), alertOf('b'), untold, over]);
  await arrived(1);
  expect(hosts(messages[0])).toEqual(['a', 'b']);
  const passed = await next();
  expect(passed).toBeGreaterThanOrEqual(minute);
  expect(passed).toBeLessThan(5 * minute);
  expect(messages[1]).toEqual(messages[0]);
  const ended = alertOf('a', { state: 'resolved', endsAt: began + minute });
  await store.putAlerts([ended], [{ sink: 'am', body: own.format(ended, { told: 'warning', at: began + minute }) }], 0);
  delivery.wake();
  await next();
  expect([hosts(messages[2]), messages[2]?.[0]?.endsAt]).toEqual([['a'], '2026-01-01T00:01:00.000Z']);
  await next();
  expect(hosts(messages[3])).toEqual(['b']);
});

test('one that does not take it is told again a minute later, and nothing piles up', async () => {
  const { messages, state, store, logged, arrived, next } = await delivering([alertOf('a')], 503);
  await arrived(1);
  await waitFor(() => logged.length === 1, { what: 'the failure to be logged' });
  expect(logged).toEqual(['what fires could not be said again, trying again in a minute']);
  state.status = 200;
  await next();
  expect(messages).toHaveLength(2);
  expect(store.pendingNotifications(10)).toEqual([]);
});

test('what waits goes first, in its order: nothing that is over is said to fire behind its end', async () => {
  const { messages, state, store, delivery, own, arrived, next } = await delivering([alertOf('a')]);
  await arrived(1);
  state.status = 503;
  const ended = alertOf('a', { state: 'resolved', endsAt: began + minute });
  await store.putAlerts([ended], [{ sink: 'am', body: own.format(ended, { told: 'warning', at: began + minute }) }], began);
  delivery.wake();
  for (let tries = 0; tries < 8; tries += 1) await next();
  expect(messages.slice(1).map((message) => brief(message))).toEqual(
    Array.from({ length: 8 }, () => [['warning', '2026-01-01T00:01:00.000Z']]),
  );
  state.status = 200;
  await next();
  await waitFor(() => store.pendingNotifications(1).length === 0, { what: 'an empty queue' });
});

test('after an outage of any length it is told what fires within a minute or two, before it takes it for over', async () => {
  const { messages, state, store, delivery, own, arrived, next } = await delivering([alertOf('a'), alertOf('b')]);
  await arrived(1);
  state.status = 503;
  const ended = alertOf('b', { state: 'resolved', endsAt: began + minute });
  await store.putAlerts([ended], [{ sink: 'am', body: own.format(ended, { told: 'warning', at: began + minute }) }], began);
  delivery.wake();
  for (let tries = 0; tries < 12; tries += 1) expect(await next()).toBeLessThanOrEqual(minute + 2_000);
  state.status = 200;
  const passed = (await next()) + (await next());
  expect(hosts(messages.at(-1))).toEqual(['a']);
  expect(passed).toBeLessThan(3 * minute);
});

test('what it refuses keeps nothing else from it', async () => {
  const many = Array.from({ length: 1_200 }, (_, index) => alertOf(`h${index}`));
  const { messages, state, next, arrived } = await delivering(many);
  await arrived(3);
  state.refuses = messages[0]?.[0]?.labels['host'] ?? '';
  await next();
  await arrived(6);
  expect(messages.slice(3, 6).map((message) => message.length)).toEqual([500, 500, 200]);
});

test('thousands of alerts are several messages', async () => {
  const { messages, arrived } = await delivering(Array.from({ length: 1_200 }, (_, index) => alertOf(`h${index}`)));
  await arrived(3);
  expect(messages.map((message) => message.length)).toEqual([500, 500, 200]);
});
