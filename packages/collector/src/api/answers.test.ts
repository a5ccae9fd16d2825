/** A reader that takes nothing, over a real connection, on a clock of the test's own. */
import { request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '@relight/shared/manual-clock';
import { waitFor } from '../../../../test/support/wait.ts';
import { OpenAnswers, stallMs } from './answers.ts';
import { OpenStreams } from './sse.ts';

const chunk = Buffer.alloc(256 * 1024, 'x');
let app: FastifyInstance;
let clock: ManualClock;
let sent: number;
let ended: boolean;

beforeEach(async () => {
  clock = new ManualClock();
  sent = 0;
  ended = false;
  app = Fastify({ forceCloseConnections: true });
  const answers = new OpenAnswers(clock);
  const streams = new OpenStreams();
  app.get('/answer', async (_request, reply) => {
    await answers.send(reply, 'text/plain', async function* endless() {
      try {
        for (;;) {
          sent += 1;
          yield chunk;
        }
      } finally {
        ended = true;
      }
    });
    return reply;
  });
  app.get('/stream', async (asked, reply) => {
    await streams.run(asked, reply, clock, async (connection) => {
      while (!connection.signal.aborted) {
        sent += 1;
        await connection.sendText(chunk);
      }
      ended = true;
    });
    return reply;
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
});
afterEach(() => app.close());

/** Asks, takes the headers, and then nothing. */
async function silentReader(path: string): Promise<IncomingMessage> {
  const call = request({ host: '127.0.0.1', port: (app.server.address() as AddressInfo).port, path, agent: false });
  const response = await new Promise<IncomingMessage>((resolve, reject) => call.on('response', resolve).on('error', reject).end());
  response.on('error', () => undefined);
  return response.pause();
}

/** Buffers on the way are full when nothing more has been sent between two looks. */
async function stalled(): Promise<void> {
  let last = -1;
  await waitFor(
    () => {
      const same = sent === last;
      last = sent;
      return same;
    },
    { everyMs: 100, what: 'the connection to be full' },
  );
}

test.each(['/answer', '/stream'])('%s: is sent away after a time, and what was done for it ends', async (path) => {
  const response = await silentReader(path);
  await stalled();
  clock.advance(stallMs - 1);
  expect(ended).toBe(false);
  // On a busy machine the connection may have filled up only now: then its time begins anew.
  await waitFor(
    () => {
      clock.advance(stallMs);
      return ended;
    },
    { what: 'the work to end' },
  );
  // It notices, too: what has come is not all there is.
  const cut = new Promise((resolve) => response.on('aborted', resolve).on('error', resolve));
  response.resume();
  await cut;
});

test.each(['/answer', '/stream'])('%s: whoever takes something in time goes on', async (path) => {
  const response = await silentReader(path);
  for (let round = 0; round < 3; round += 1) {
    await stalled();
    clock.advance(stallMs - 1);
    const before = sent;
    response.resume();
    await waitFor(() => sent > before, { what: 'more to be sent' });
    response.pause();
  }
  expect(ended).toBe(false);
  response.destroy();
  await waitFor(() => ended, { what: 'the work to end' });
});
