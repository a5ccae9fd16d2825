import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock, type Clock } from '@relight/shared/clock';
import { packBlock } from '@relight/shared/log-block';
import { epoch, FakeFleet, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import { Bus } from '../bus.ts';
import type { CollectorEvent } from '../store/store.ts';
import { registerApi } from './register.ts';
import { keepAliveMs } from './sse.ts';

let app: FastifyInstance;
let port: number;
const deps = { store: new MemoryStore(), bus: new Bus(), fleet: new FakeFleet(), clock: systemClock };
const hurried: Clock = { ...systemClock, after: (ms, fn) => systemClock.after(ms === keepAliveMs ? 20 : ms, fn) };

beforeEach(async () => {
  ends.clear();
  Object.assign(deps, { store: new MemoryStore(), bus: new Bus(), fleet: new FakeFleet() });
  deps.store.addToken('operator', 'operator');
  app = Fastify();
  registerApi(app, { ...deps, clock: hurried, version: '0' });
  await app.listen({ port: 0, host: '127.0.0.1' });
  port = (app.server.address() as AddressInfo).port;
});
afterEach(() => app.close());

interface Message {
  readonly event: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

/** An EventSource that keeps what it got. */
class Listener {
  text = '';
  ended = false;
  readonly close: () => void;
  readonly pause: () => void;
  readonly resume: () => void;

  constructor(path: string, lastEventId = '') {
    const headers = { authorization: 'Bearer operator', ...(lastEventId === '' ? {} : { 'last-event-id': lastEventId }) };
    const call = request({ host: '127.0.0.1', port, path: `/api/v1/${path}`, headers });
    call.on('response', (response) => {
      response.setEncoding('utf8').on('data', (piece: string) => {
        this.text += piece;
      });
      response.on('end', () => {
        this.ended = true;
      });
      response.on('error', () => undefined);
    });
    call.on('error', () => undefined);
    call.end();
    this.close = () => void call.destroy();
    this.pause = () => void call.socket?.pause();
    this.resume = () => void call.socket?.resume();
  }
  get messages(): Message[] {
    const blocks = this.text.split('\n\n').slice(0, -1);
    return blocks.flatMap((block) => {
      const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? '';
      return field('event') === ''
        ? []
        : [{ event: field('event'), id: field('id'), data: JSON.parse(field('data')) as Record<string, unknown> }];
    });
  }
  /** The id that a browser would resume from. */
  get lastId(): string {
    return [...this.text.matchAll(/^id: (.*)$/gm)].at(-1)?.[1] ?? '';
  }
  count(atLeast: number): Promise<true> {
    return waitFor(() => this.messages.length >= atLeast, { what: `${atLeast} messages; got ${this.text}` });
  }
}

const ends = new Map<string, number>();
let written = 0;
async function write(host: string, text: string): Promise<void> {
  const offset = ends.get(host) ?? 0;
  const to = offset + Buffer.byteLength(text) + 1;
  const line = { offset, at: epoch + (written += 1), approx: false, stream: 'stdout' as const, bytes: Buffer.from(text), truncated: false };
  const block = packBlock({ workload: 'w', generation: 1, source: 'process', run: 'r' }, offset, to, [line], 1);
  ends.set(host, to);
  await deps.store.commitBlock(host, host, block, line.at);
  const piece = deps.store.pieceRows.at(-1);
  if (piece !== undefined) deps.bus.publish('logs', piece);
}
const event = (message: string, more: Partial<CollectorEvent> = {}): CollectorEvent => ({
  at: epoch,
  host: 'a',
  workload: 'w',
  generation: 1,
  kind: 'process.exited',
  severity: 'error',
  message,
  data: {},
  ...more,
});
async function happen(message: string, more: Partial<CollectorEvent> = {}): Promise<void> {
  deps.bus.publish('events', [await deps.store.commitOwnEvent(event(message, more))]);
}

test('tail: the last lines, new lines, a watch while it is open, and an exact resume', async () => {
  for (const text of ['one', 'two', 'three']) await write('a', text);
  const first = new Listener('logs/tail?host=a&workload=w&tail=2&grep=e%7Co');
  await first.count(2);
  await waitFor(() => deps.fleet.watches.size === 1, { what: 'a watch' });
  expect([...deps.fleet.watches]).toEqual([{ host: 'a', workload: 'w' }]);
  await write('a', 'four');
  await write('b', 'not for us, though one');
  await first.count(3);
  expect(first.messages.map((message) => [message.event, message.data['line']])).toEqual([
    ['line', 'two'],
    ['line', 'three'],
    ['line', 'four'],
  ]);
  first.close();
  await waitFor(() => deps.fleet.watches.size === 0, { what: 'the watch to end' });
  await write('a', 'five');
  const second = new Listener('logs/tail?host=a&workload=w&grep=e%7Co', first.lastId);
  await second.count(1);
  await write('a', 'one more');
  await second.count(2);
  expect(second.messages.map((message) => message.data['line'])).toEqual(['five', 'one more']);
  second.close();
});

test('tail: a reader that stops reading finds a counted gap, and the newest lines', async () => {
  const slow = new Listener('logs/tail?tail=0');
  await waitFor(() => slow.lastId !== '', { what: 'the stream' });
  slow.pause();
  for (let i = 0; i < 1_500; i += 1) {
    // Random, or it would be compressed to nothing and fit the buffer.
    await write('a', `${i} ${randomBytes(10_000).toString('hex')}`);
    if (i % 20 === 0) await setImmediate();
  }
  await write('a', 'the end');
  slow.resume();
  // The whole of its message: what has come may end in the middle of one.
  const isEnd = ({ data }: Message): boolean => data['line'] === 'the end';
  await waitFor(() => slow.text.includes('the end') && slow.messages.some(isEnd), { what: 'the newest line' });
  const gaps = slow.messages.filter((message) => message.event === 'gap');
  expect(gaps.length).toBeGreaterThan(0);
  const skipped = gaps.reduce((sum, { data }) => sum + (data['gap'] as { lines: number }).lines, 0);
  const got = slow.messages.filter((message) => message.event === 'line').length;
  expect(skipped + got).toBe(1_501);
  slow.close();
});

test('stream: the picture first, then changes; workloads only when something happened to them', async () => {
  const host = hostRecord('a', { workloads: [workloadStatus('w')] });
  deps.fleet.put(host, hostRecord('b'));
  await happen('before');
  const listener = new Listener('stream');
  await listener.count(3);
  expect(listener.messages.map(({ event, data }) => [event, data['name']])).toEqual([
    ['host', 'a'],
    ['workload', 'w'],
    ['host', 'b'],
  ]);
  const publish = (changed: typeof host): void => {
    deps.fleet.put(changed);
    deps.bus.publish('host', changed);
  };
  publish({ ...host, lastSeenAt: epoch + 1 });
  await listener.count(4);
  publish({ ...host, workloads: [workloadStatus('w', { phase: 'back-off' })] });
  await listener.count(6);
  await happen('now');
  await listener.count(7);
  deps.fleet.records.delete('b');
  deps.bus.publish('hostDeleted', 'b');
  await listener.count(8);
  expect(listener.messages.slice(3).map(({ event, data }) => [event, data['phase'] ?? data['message'] ?? data['deleted']])).toEqual([
    ['host', undefined],
    ['host', undefined],
    ['workload', 'back-off'],
    ['event', 'now'],
    ['host', true],
  ]);
  listener.close();
});

test('stream: events resume behind Last-Event-ID and obey the filters', async () => {
  const first = new Listener('stream?kind=process.exited&severity=error');
  await waitFor(() => first.lastId !== '', { what: 'the stream' });
  const early = await deps.store.commitOwnEvent(event('0'));
  const late = await deps.store.commitOwnEvent(event('1'));
  deps.bus.publish('events', [late]);
  deps.bus.publish('events', [early]);
  await happen('other kind', { kind: 'process.started' });
  await happen('other severity', { severity: 'info' });
  await first.count(2);
  expect(first.messages.map(({ data }) => data['message'])).toEqual(['0', '1']);
  first.close();
  await happen('2');
  await happen('other kind', { kind: 'process.started' });
  const second = new Listener('stream?kind=process.exited&severity=error', first.messages.at(-1)?.id);
  await second.count(1);
  await happen('3');
  await second.count(2);
  expect(second.messages.map(({ data }) => data['message'])).toEqual(['2', '3']);
  second.close();
});

test('comments keep a silent stream alive, and closing the server ends it', async () => {
  const listener = new Listener('stream');
  await waitFor(() => listener.text.includes(': keep-alive'), { what: 'a comment' });
  await app.close();
  await waitFor(() => listener.ended, { what: 'the end' });
  expect(listener.ended).toBe(true);
});
