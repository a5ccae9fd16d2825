import { systemClock } from '@relight/shared/clock';
import { expect, test } from 'vitest';
import { ApiClient } from './client.ts';
import { fakeApi, sse } from './fake-api.test-data.ts';
import { follow } from './follow.ts';

test('a connection that falls silent is given up, and the next one goes on behind the last id', async () => {
  await using api = await fakeApi({
    'GET stream': (call, response) => sse(response, [{ id: Number(call.headers['last-event-id'] ?? 0) + 1, event: 'event', data: {} }]),
  });
  const stop = new AbortController();
  const client = new ApiClient({ url: api.url, token: null, ca: null, fingerprint: null }, stop.signal);
  const notices: string[] = [];
  const ids: string[] = [];
  const batches = follow(
    client,
    'stream',
    {},
    {
      clock: systemClock,
      signal: stop.signal,
      // Longer than this process may be put aside by a busy machine.
      silenceMsMax: 1_000,
      onLost: ({ message }) => notices.push(message),
      onBack: () => notices.push('back'),
    },
  );
  for await (const { messages } of batches) {
    ids.push(...messages.map(({ id }) => id));
    if (ids.length === 3) stop.abort();
  }
  expect(ids).toEqual(['1', '2', '3']);
  const lost = `the collector at ${api.url} does not answer: silent for 1.0 s`;
  expect(notices).toEqual([lost, 'back', lost, 'back']);
});
