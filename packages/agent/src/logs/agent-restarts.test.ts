/** What the shipper of an earlier agent had decided, and what it could not do, as the next one and the collector find it. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import { ManualClock } from '@relight/shared/manual-clock';
import { ModelCollector } from '../../../../test/support/model-collector.ts';
import { openBelow } from '../../../../test/support/open-descriptors.ts';
import { FollowingShipper } from './following-shipper.ts';

const container: SegmentKey = { workload: 'worker', generation: 1, source: 'container', run: 'c' };
const other: SegmentKey = { workload: 'worker', generation: 1, source: 'process', run: '1' };
const entry = (log: string): string => `${JSON.stringify({ log: `${log}\n`, stream: 'stdout', time: '2026-01-02T03:04:05.678901234Z' })}\n`;
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

let directory = '';
let collector: ModelCollector;
let clock: ManualClock;
let shipper: FollowingShipper;
const path = (name: string): string => join(directory, name);

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'relight-restarts-'));
  collector = new ModelCollector();
  start();
});
afterEach(() => {
  shipper.close();
  fs.rmSync(directory, { recursive: true });
});

function start(): void {
  clock = new ManualClock();
  shipper = new FollowingShipper({ directory: path('index'), clock, logger: silent, delivering: true, rateLimit: () => null });
}

/** As kill -9 leaves it: what was not saved is not. */
function killAndStart(): void {
  const saved = fs.existsSync(path('index/segments.json')) ? fs.readFileSync(path('index/segments.json')) : null;
  shipper.close();
  if (saved === null) fs.rmSync(path('index/segments.json'), { force: true });
  else fs.writeFileSync(path('index/segments.json'), saved);
  start();
}

function connect(): void {
  shipper.resume(shipper.segments().map((segment) => ({ segment, offset: collector.committed.get(segmentId(segment)) ?? 0 })));
}

function drain(): void {
  clock.advance(3_000);
  for (let frame = shipper.nextFrame(); frame !== null; frame = shipper.nextFrame()) {
    const ack = frame.kind === 'block' ? collector.takeBlock(frame.block) : collector.takeGap(frame.gap);
    for (const { segment, offset, rewind } of ack.segments) shipper.committed(segment, offset, rewind);
  }
}

/** The container's file cannot be opened until it is declared lost, and is gone then. */
function neverRead(name: string): void {
  // ELOOP, whoever asks.
  fs.symlinkSync(path(name), path(name));
  shipper.follow({ key: container, path: path(name), format: 'json-file' });
  shipper.finish(container);
  clock.advance(10 * 60_000);
  clock.advance(3_000);
  fs.rmSync(path(name));
}

describe('a gap that was decided, and that the collector has not heard of when the agent is killed', () => {
  test.each([
    ['is followed again', true],
    ['is never followed again', false],
  ])('is told by the next one: its container %s', (_, followed) => {
    neverRead('late');
    killAndStart();
    if (followed) {
      shipper.follow({ key: container, path: path('late'), format: 'json-file' });
      shipper.finish(container);
    }
    connect();
    drain();
    expect(collector.gaps).toEqual([expect.objectContaining({ from: 0, to: 1, reason: 'unreadable' })]);
    expect(shipper.segments()).toEqual([]);
    // Once.
    clock.advance(10_000);
    killAndStart();
    connect();
    drain();
    expect(shipper.segments()).toEqual([]);
    expect(collector.gaps).toHaveLength(1);
  });

  test('is told also when it is what was given up with the container, and the file is gone', () => {
    fs.writeFileSync(path('c.log'), entry('one') + entry('two'));
    shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
    shipper.finish(container);
    clock.advance(2_000);
    shipper.giveUp(container);
    clock.advance(1_000);
    const { size } = fs.statSync(path('c.log'));
    fs.rmSync(path('c.log'));
    killAndStart();
    connect();
    drain();
    expect(collector.gaps).toEqual([expect.objectContaining({ from: 0, to: size, bytes: size, reason: 'outbox-full' })]);
  });

  test('ends what was before, not what comes after: a container that is started again is followed', () => {
    neverRead('late');
    killAndStart();
    connect();
    drain();
    fs.writeFileSync(path('late'), entry('lost') + entry('after'));
    shipper.follow({ key: container, path: path('late'), format: 'json-file' });
    connect();
    drain();
    expect(collector.texts(container)).toContain('after');
  });
});

describe("a file of somebody else's that was let go of, by a descriptor whose number means another file in the next life", () => {
  const file: SegmentKey = { workload: 'worker', generation: 1, source: 'file:ray.log', run: 'f' };
  const follow = (name: string): void => {
    shipper.follow({ key: file, path: path(name), format: 'raw', foreign: { open: () => fs.openSync(path('ray.log'), 'r') } });
  };

  beforeEach(() => {
    fs.writeFileSync(path('ray.log'), 'one\ntwo\n');
    follow('fd-7');
    shipper.finish(file);
    clock.advance(2_000);
    shipper.giveUp(file);
    clock.advance(1_000);
    fs.writeFileSync(path('fd-7'), 'of another program\n'.repeat(10));
    killAndStart();
  });

  test('is not taken for that; followed again it goes on behind the gap', () => {
    expect(openBelow(directory)).toBe(0);
    fs.appendFileSync(path('ray.log'), 'three\n');
    follow('fd-9');
    connect();
    drain();
    expect(collector.texts(file)).toEqual(['three']);
    expect(collector.gaps).toEqual([expect.objectContaining({ from: 0, to: 8, bytes: 8, reason: 'outbox-full' })]);
  });

  test('and followed again it is still not ours: it counts for no budget, as long as its owner keeps it', () => {
    follow('fd-9');
    fs.appendFileSync(path('ray.log'), 'three\n');
    clock.advance(2_000);
    expect(shipper.backlog()).toMatchObject({ bytes: 0, waitingBytes: 6 });
  });

  test('its gap is told also when nobody follows it again', () => {
    connect();
    drain();
    expect(collector.gaps).toEqual([expect.objectContaining({ from: 0, to: 8, bytes: 8, reason: 'outbox-full' })]);
    expect(shipper.segments()).toEqual([]);
  });

  test('as an earlier version has written it down, its path says whose it is', () => {
    shipper.close();
    const index = path('index/segments.json');
    const saved = JSON.parse(fs.readFileSync(index, 'utf8')) as { segments: Record<string, { owed: { path: string; foreign?: boolean } }> };
    const { owed } = saved.segments[segmentId(file)] ?? {};
    if (owed === undefined) throw new Error('nothing is owed');
    delete owed.foreign;
    const another = fs.openSync(path('fd-7'), 'r');
    owed.path = `/proc/${process.pid}/fd/${another}`;
    fs.writeFileSync(index, JSON.stringify(saved));
    start();
    fs.closeSync(another);
    follow('fd-9');
    fs.appendFileSync(path('ray.log'), 'three\n');
    clock.advance(2_000);
    expect(shipper.backlog()).toMatchObject({ bytes: 0, waitingBytes: 6 });
  });
});

test('a file that cannot be read when the collector has spoken holds up no other, and is read when it can be', () => {
  // Several files without any memory of their offsets: what the collector has decides which of them is read, and that opens them anew.
  fs.writeFileSync(path('c.log.1'), entry('zero'));
  fs.writeFileSync(path('c.log'), entry('one') + entry('two'));
  fs.writeFileSync(path('run'), 'a line\n');
  shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
  shipper.follow({ key: other, path: path('run'), format: 'raw' });
  fs.renameSync(path('c.log'), path('aside'));
  fs.symlinkSync(path('c.log'), path('c.log'));
  collector.committed.set(segmentId(container), 5);
  connect();
  drain();
  expect(collector.texts(other)).toEqual(['a line']);
  fs.rmSync(path('c.log'));
  fs.renameSync(path('aside'), path('c.log'));
  drain();
  expect(collector.texts(container)).toEqual(['one', 'two']);
});
