import { fakeApi, list, sse } from '@relight/collector/cli/fake-api.test-data';
import { apiEvent } from '@relight/collector/cli/samples.test-data';
import { expect, test } from 'vitest';
import { EventFeed } from './event-feed.ts';
import { FleetClient } from './fleet-client.ts';
import { freePort } from './ports.ts';

test('keeps each event once and in order over lost connections, and finds the one waited for', async () => {
  let connections = 0;
  await using api = await fakeApi({
    'GET events': list([]),
    'GET stream': (_call, response) => {
      connections += 1;
      const event = (id: number): { id: number; event: string; data: unknown } => ({ id, event: 'event', data: apiEvent(id) });
      if (connections === 1) {
        sse(response, [event(1), { id: 1, event: 'host', data: {} }, event(2)]);
        response.end();
      } else sse(response, [event(2), event(3)]);
    },
  });
  using feed = new EventFeed(new FleetClient(api.url, 'token'));
  const third = await feed.next(feed.mark(), ({ id }) => id === '3', 'event 3');
  expect(feed.events.map(({ id }) => id)).toEqual(['1', '2', '3']);
  expect(feed.since(2)).toEqual([third]);
  await expect(feed.next(0, () => false, 'what never comes', 50)).rejects.toThrow(
    /waited 50 ms for what never comes; events meanwhile:\n {2}container\.died/,
  );
});

test('waits for a collector that is not there yet', async () => {
  const port = await freePort();
  using feed = new EventFeed(new FleetClient(`http://127.0.0.1:${port}`, 'token'));
  const first = feed.next(0, () => true, 'the first event');
  await feed.next(0, () => false, 'what never comes', 200).catch(() => {});
  await using _api = await fakeApi(
    { 'GET stream': (_call, response) => sse(response, [{ id: 1, event: 'event', data: apiEvent(1) }]) },
    port,
  );
  expect((await first).id).toBe('1');
});
