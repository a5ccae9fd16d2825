import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { systemClock, type Clock } from '@relight/shared/clock';
import { MemoryStore } from '../../../../../test/support/memory-store.ts';
import { waitFor } from '../../../../../test/support/wait.ts';
import { Bus } from '../../bus.ts';
import { openStore } from '../../store/sqlite-store.ts';
import type { AlertRecord, Store } from '../../store/store.ts';
import { refusedAttemptsMax, retryDelayMs, startDelivery } from './delivery.ts';
import { webhookSink } from './webhook.ts';

const logger = { warn: () => undefined, error: () => undefined };
/** Waits of minutes pass in milliseconds. */
const hurried: Clock = { ...systemClock, after: (ms, fn) => systemClock.after(ms >= 10_000 ? ms : Math.min(ms, 5), fn) };
const alert: AlertRecord = {
  id: 'RepeatedRestarts:a/w:1',
  rule: 'RepeatedRestarts',
  severity: 'warning',
  host: 'a',
  workload: 'w',
  state: 'firing',
  startsAt: Date.UTC(2026, 0, 1),
  endsAt: null,
  summary: 'a/w restarted 3 times after failures',
  labels: { alertname: 'RepeatedRestarts', host: 'a', workload: 'w' },
  data: {},
};

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A receiver; `answer` gives the status of the nth call. */
async function receiver(answer: (call: number) => number | 'hang'): Promise<{ url: string; bodies: string[]; server: Server }> {
  const bodies: string[] = [];
  let calls = 0;
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const call = (calls += 1);
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const status = answer(call);
    if (status === 'hang') return;
    if (status < 300) bodies.push(Buffer.concat(pieces).toString());
    response.writeHead(status, status === 429 ? { 'retry-after': '0' } : {}).end('{}');
  };
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=secret`, bodies, server };
}

function begin(
  store: Store,
  sinks: Parameters<typeof startDelivery>[0]['sinks'],
  clock: Clock = hurried,
): ReturnType<typeof startDelivery> {
  const delivery = startDelivery({ store, bus: new Bus(), clock, logger, random: () => 0.5, sinks });
  cleanups.push(() => delivery.close());
  return delivery;
}

test('a failing receiver gets every message once it answers, in order; a sink beside it waits for nothing', async () => {
  const statuses = [503, 500, 408, 429, 200, 500, 200];
  const flaky = await receiver((call) => statuses[call - 1] ?? 200);
  const down = webhookSink('down', 'http://127.0.0.1:9/', '');
  const sink = webhookSink('flaky', flaky.url, '');
  const dataDir = await mkdtemp(join(tmpdir(), 'relight-delivery-'));
  const store = await openStore({ dataDir, clock: systemClock });
  cleanups.push(async () => {
    await store.close();
    await rm(dataDir, { recursive: true });
  });
  for (let i = 0; i < 4; i += 1) {
    await store.putAlerts(
      [alert],
      [
        { sink: 'down', body: `${i}` },
        { sink: 'flaky', body: `${i}` },
      ],
      0,
    );
  }
  begin(store, [down, sink]);
  await waitFor(() => flaky.bodies.length === 4, { what: 'four messages' });
  expect(flaky.bodies).toEqual(['0', '1', '2', '3']);
  await waitFor(() => store.pendingNotifications(10, 'flaky').length === 0, { what: 'an empty queue' });
  await waitFor(() => (store.pendingNotifications(1, 'down')[0]?.attempts ?? 0) > 0, { what: 'an attempt at the other one to be stored' });
  const waiting = store.pendingNotifications(10, 'down');
  expect(waiting.map((record) => record.body)).toEqual(['0', '1', '2', '3']);
  expect(waiting[1]?.attempts).toBe(0);
});

test('a message that is refused is given up with an event, and the next one goes', async () => {
  let refused = 0;
  const picky = await receiver(() => {
    if (refused === refusedAttemptsMax) return 200;
    refused += 1;
    return 400;
  });
  const store = new MemoryStore();
  await store.putAlerts([alert], [{ sink: 'picky', body: 'bad' }], 0);
  await store.putAlerts([alert], [{ sink: 'picky', body: 'good' }], 0);
  begin(store, [webhookSink('picky', picky.url, '')]);
  await waitFor(() => picky.bodies.length === 1, { what: 'the good message' });
  expect(picky.bodies).toEqual(['good']);
  expect(store.eventRows.map((event) => [event.kind, event.severity, event.data['attempts']])).toEqual([
    ['alert.undelivered', 'error', refusedAttemptsMax],
  ]);
});

test('a receiver that never answers is left after ten seconds, and shutting down gives it three', async () => {
  const hanging = await receiver(() => 'hang');
  const store = new MemoryStore();
  await store.putAlerts([alert], [{ sink: 'hanging', body: 'x' }], 0);
  const hasty: Clock = { ...systemClock, after: (ms, fn) => systemClock.after(ms === 10_000 ? 30 : ms, fn) };
  const first = begin(store, [webhookSink('hanging', hanging.url, '')], hasty);
  await waitFor(() => (store.pendingNotifications(1)[0]?.attempts ?? 0) > 0, { what: 'a failed attempt' });
  await first.close();

  const waits: number[] = [];
  const patient: Clock = {
    ...systemClock,
    after(ms, fn) {
      waits.push(ms);
      return systemClock.after(ms === 3_000 ? 30 : ms, fn);
    },
  };
  const other = startDelivery({ store, bus: new Bus(), clock: patient, logger, sinks: [webhookSink('hanging', hanging.url, '')] });
  await waitFor(() => waits.includes(10_000), { what: 'an attempt' });
  const before = store.pendingNotifications(1)[0];
  await other.close();
  expect(waits.at(-1)).toBe(3_000);
  expect(store.pendingNotifications(1)).toEqual([before]);
});

test('stopped while a message is on its way, it waits for the answer, and begins with none behind it: nothing is sent twice', async () => {
  const answers: ServerResponse[] = [];
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    request.on('data', (piece: Buffer) => void bodies.push(piece.toString()));
    request.once('end', () => void answers.push(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const sink = webhookSink('slow', `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, '');
  const store = new MemoryStore();
  for (const body of ['1', '2']) await store.putAlerts([alert], [{ sink: 'slow', body }], 0);
  const stopped = begin(store, [sink], systemClock);
  await waitFor(() => answers.length === 1, { what: 'the first message' });
  const closed = stopped.close();
  answers[0]?.writeHead(200).end();
  await closed;
  expect(store.pendingNotifications(10).map(({ body, attempts }) => [body, attempts])).toEqual([['2', 0]]);
  begin(store, [sink], systemClock);
  await waitFor(() => answers.length === 2, { what: 'the second message' });
  expect(bodies).toEqual(['1', '2']);
});

test('what waits for a sink that is gone from the configuration is given up with an event', async () => {
  const store = new MemoryStore();
  await store.putAlerts([alert], [{ sink: 'removed', body: 'x' }], 0);
  begin(store, []);
  await waitFor(() => store.pendingNotifications(1).length === 0, { what: 'an empty queue' });
  expect(store.eventRows[0]?.message).toContain('no longer configured');
});

test('new work wakes an idle queue', async () => {
  const fine = await receiver(() => 200);
  const store = new MemoryStore();
  const delivery = begin(store, [webhookSink('fine', fine.url, '')]);
  for (const body of ['1', '2']) {
    await store.putAlerts([alert], [{ sink: 'fine', body }], 0);
    delivery.wake();
    await waitFor(() => fine.bodies.at(-1) === body, { what: `message ${body}` });
  }
  expect(fine.bodies).toEqual(['1', '2']);
});

test('the wait grows from a second to five minutes, jittered fully', () => {
  expect([0, 1, 2, 8, 9, 400].map((attempts) => retryDelayMs(attempts, 1))).toEqual([1000, 2000, 4000, 256_000, 300_000, 300_000]);
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true }), (attempts, random) => {
      const wait = retryDelayMs(attempts, random);
      expect(wait).toBeGreaterThanOrEqual(0);
      expect(wait).toBeLessThanOrEqual(300_000);
    }),
  );
});

test('user and password of an address are sent as such, and a failure says nothing of them', async () => {
  let authorization: string | undefined;
  const server = createServer((request, response) => {
    ({ authorization } = request.headers);
    response.writeHead(500).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => void server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sink = webhookSink('hook', `http://relight:p4ss%3Aword@${address}/hook`, '');
  const answered = await sink.send('{}', AbortSignal.timeout(20_000));
  expect(authorization).toBe(`Basic ${Buffer.from('relight:p4ss:word').toString('base64')}`);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  const away = await sink.send('{}', AbortSignal.timeout(20_000));
  expect([answered.outcome, away.outcome]).toEqual(['retry', 'retry']);
  expect(JSON.stringify([answered, away])).not.toContain('p4ss');
});

test('of an alert that is over it says when it was over, and since when it had fired', () => {
  const over = { ...alert, state: 'resolved' as const, endsAt: alert.startsAt + 90_000 };
  const { commonAnnotations } = JSON.parse(
    webhookSink('hook', 'http://x/', 'https://relight.example').format(over, { told: null, at: 0 }),
  ) as {
    commonAnnotations: { description: string };
  };
  expect(commonAnnotations.description).toBe(
    `RepeatedRestarts resolved at 2026-01-01T00:01:30.000Z, fired since 2026-01-01T00:00:00.000Z: ${alert.summary}`,
  );
});

test("a message is what Alertmanager's receivers expect", () => {
  const sink = webhookSink('hook', 'http://x/', 'https://relight.example');
  const firing = JSON.parse(sink.format(alert, { told: null, at: 0 })) as Record<string, unknown>;
  expect(firing).toEqual({
    version: '4',
    groupKey: '{}:{alertname="RepeatedRestarts", host="a", workload="w"}',
    truncatedAlerts: 0,
    status: 'firing',
    receiver: 'hook',
    groupLabels: alert.labels,
    commonLabels: { ...alert.labels, severity: 'warning' },
    commonAnnotations: {
      summary: alert.summary,
      description: 'RepeatedRestarts firing since 2026-01-01T00:00:00.000Z: a/w restarted 3 times after failures',
      runbook: 'relight incidents --host a --workload w; its last lines: relight tail --host a --workload w --previous',
    },
    externalURL: 'https://relight.example',
    alerts: [
      {
        status: 'firing',
        labels: { ...alert.labels, severity: 'warning' },
        annotations: firing['commonAnnotations'],
        startsAt: '2026-01-01T00:00:00.000Z',
        endsAt: '0001-01-01T00:00:00Z',
        generatorURL: 'https://relight.example/api/v1/alerts',
        fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
      },
    ],
  });
  const worse = JSON.parse(
    sink.format({ ...alert, severity: 'critical', state: 'resolved', endsAt: alert.startsAt + 1 }, { told: null, at: 0 }),
  ) as {
    alerts: { fingerprint: string; endsAt: string }[];
  };
  expect(worse.alerts[0]?.fingerprint).toBe((firing['alerts'] as { fingerprint: string }[])[0]?.fingerprint);
  expect(worse.alerts[0]?.endsAt).toBe('2026-01-01T00:00:00.001Z');
});
