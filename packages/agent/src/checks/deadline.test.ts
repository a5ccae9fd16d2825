import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { nextTick } from 'node:process';
import { expect, onTestFinished, test } from 'vitest';
import { answerDeadline } from './deadline.ts';
import { connects } from './tcp.ts';

const standStill = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

test('a connection that was made while the agent itself stood still counts', async () => {
  // The kernel accepts for it.
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const asked = connects(`127.0.0.1:${port}`, 100, new AbortController().signal);
  await new Promise<void>((begun) => nextTick(begun));
  standStill(300);
  expect(await asked).toEqual({ ok: true, message: 'connected' });
});

test('a deadline comes though nothing happens', async () => {
  const signal = answerDeadline(5);
  expect(signal.aborted).toBe(false);
  await once(signal, 'abort');
});
