import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ModelCollector } from '../../../../../test/support/model-collector.ts';
import { FollowingShipper, type FollowingShipperOptions } from '../following-shipper.ts';
import type { SegmentFile } from '../log-shipper.ts';
import { AgentLog } from './agent-log.ts';

let directory: string;
let clock: ManualClock;
let followed: SegmentFile[];
let finished: string[];
let givenUp: string[];

beforeEach(() => {
  directory = join(fs.mkdtempSync(join(tmpdir(), 'agent-log-')), 'agent');
  clock = new ManualClock();
  followed = [];
  finished = [];
  givenUp = [];
});
afterEach(() => fs.rmSync(join(directory, '..'), { recursive: true }));

const opened = (log = new AgentLog()): AgentLog => {
  const shipper = {
    follow: (file: SegmentFile) => void followed.push(file),
    finish: ({ run }: { run: string }) => void finished.push(run),
    giveUp: ({ run }: { run: string }) => void givenUp.push(run),
  };
  log.open({ directory, shipper, clock });
  return log;
};
const lines = (): string[] =>
  followed.flatMap(({ path }) =>
    fs
      .readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== ''),
  );

it('keeps what was said before it had a place, and is a stream of the host', () => {
  const log = new AgentLog();
  log.write('first\n');
  opened(log).write('second\n');
  expect(lines()).toEqual(['first', 'second']);
  expect(followed[0]).toMatchObject({ key: { workload: '@host', generation: 0, source: 'agent' }, format: 'raw' });
  expect(fs.statSync(followed[0]?.path ?? '').mode & 0o777).toBe(0o600);
});

it('sends first what an earlier agent has left', () => {
  fs.mkdirSync(directory);
  fs.writeFileSync(join(directory, '1-2.log'), 'left\n');
  opened().write('new\n');
  expect(followed.map(({ key }) => key.run)).toEqual(['1-2', `${clock.now()}-${process.pid}`]);
  expect(finished).toEqual(['1-2']);
});

it('a flood, of its own making for instance, is cut off and counted', () => {
  const log = opened();
  for (let n = 0; n < 5_000; n += 1) log.write(`${n}\n`);
  expect(lines()).toHaveLength(1_001);
  expect(lines().at(-1)).toContain('are left out');
  clock.advance(2_000);
  log.write('after\n');
  expect(lines().slice(-2)).toEqual([expect.stringContaining('4000 lines'), 'after']);
  for (let n = 0; n < 60; n += 1) {
    clock.advance(1_000);
    for (let m = 0; m < 100; m += 1) log.write('again and again\n');
  }
  expect(lines().length).toBeLessThan(1_000 + 62 * 5 + 62);
});

it('begins another file when one is full', () => {
  const log = opened();
  const line = `${'x'.repeat(64 * 1024)}\n`;
  for (let n = 0; n < 65; n += 1) log.write(line);
  clock.advance(1);
  log.write('in the next\n');
  expect(followed).toHaveLength(2);
  expect(finished).toEqual([followed[0]?.key.run]);
});

it('while nobody takes them, the oldest files go; those that were sent are not counted', () => {
  const log = opened();
  const line = `${'x'.repeat(64 * 1024)}\n`;
  const sizes = (): number[] =>
    fs
      .readdirSync(directory)
      .map((name) => fs.statSync(join(directory, name)).blocks * 512)
      .filter((size) => size > 0);
  for (let n = 0; n < 1_000; n += 1) {
    clock.advance(1_000);
    log.write(line);
    expect(sizes().reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(32 * 1024 * 1024 + line.length * 8);
  }
  expect(followed.length).toBeGreaterThan(14);
  expect(givenUp).toEqual(followed.slice(0, givenUp.length).map(({ key }) => key.run));
  expect(givenUp.length).toBe(followed.length - sizes().length);
  const before = givenUp.length;
  for (const { key, path } of followed) if (finished.includes(key.run)) fs.rmSync(path, { force: true });
  for (let n = 0; n < 300; n += 1) {
    clock.advance(1_000);
    log.write(line);
  }
  expect(givenUp).toHaveLength(before);
});

it('files of agents that ended at once go by their number', () => {
  fs.mkdirSync(directory);
  for (let n = 100; n < 300; n += 1) fs.writeFileSync(join(directory, `${n}-1.log`), 'started\n');
  opened().write('new\n');
  const files = fs.readdirSync(directory).map((name) => fs.statSync(join(directory, name)));
  expect(files.filter(({ blocks }) => blocks > 0)).toHaveLength(64);
  // So much of each of the others is missing.
  expect(new Set(files.filter(({ blocks }) => blocks === 0).map(({ size }) => size))).toEqual(new Set(['started\n'.length]));
  expect(givenUp).toHaveLength(137);
  expect(givenUp[0]).toBe('100-1');
});

it('agents by the hundred of which nothing is taken leave no more than a number of files', () => {
  fs.mkdirSync(directory);
  for (let n = 1_000; n < 1_500; n += 1) fs.writeFileSync(join(directory, `${n}-1.log`), 'started\n');
  opened().write('new\n');
  expect(fs.readdirSync(directory)).toHaveLength(64 + 256);
});

it('what was left out is counted by the end, and what came before there was a place for it as well', () => {
  const log = new AgentLog();
  for (let n = 0; n < 300; n += 1) log.write(`${'x'.repeat(1_023)}\n`);
  opened(log).close();
  expect(lines().at(-1)).toContain('"44 lines');
  clock.advance(1_000_000);
  for (let n = 0; n < 1_007; n += 1) log.write(`${n}\n`);
  log.close();
  expect(lines().at(-1)).toContain('"7 lines');
  log.close();
  expect(lines().at(-1)).toContain('"7 lines');
});

it('what was given up is known to the next agent, when nobody could be told of it before', () => {
  const index = join(directory, '../index');
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as FollowingShipperOptions['logger'];
  const begun = (): FollowingShipper => {
    const shipper = new FollowingShipper({ directory: index, clock, logger, delivering: true, rateLimit: () => null });
    const log = new AgentLog();
    log.open({ directory, shipper, clock });
    clock.advance(1_000);
    log.write('new\n');
    clock.advance(1_000);
    return shipper;
  };
  fs.mkdirSync(directory);
  for (let n = 100; n < 170; n += 1) fs.writeFileSync(join(directory, `${n}-1.log`), `started ${n}\n`);
  begun().close();
  const shipper = begun();
  shipper.resume([]);
  clock.advance(3_000);
  const collector = new ModelCollector();
  for (let frame = shipper.nextFrame(); frame !== null; frame = shipper.nextFrame()) {
    const ack = frame.kind === 'block' ? collector.takeBlock(frame.block) : collector.takeGap(frame.gap);
    for (const { segment, offset, rewind } of ack.segments) shipper.committed(segment, offset, rewind);
  }
  shipper.close();
  const given = collector.gaps.map(({ segment, bytes, from }) => `${segment.run} ${from} ${bytes}`);
  expect(given.toSorted()).toEqual(Array.from({ length: 8 }, (_, index2) => `${100 + index2}-1 0 12`));
});

it('what is given up for want of room is a counted gap, and the rest is sent', () => {
  const index = join(directory, '../index');
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as FollowingShipperOptions['logger'];
  const shipper = new FollowingShipper({ directory: index, clock, logger, delivering: true, rateLimit: () => null });
  fs.mkdirSync(directory);
  for (let n = 100; n < 170; n += 1) fs.writeFileSync(join(directory, `${n}-1.log`), `started ${n}\n`);
  const log = new AgentLog();
  log.open({ directory, shipper, clock });
  log.write('new\n');
  shipper.resume([]);
  clock.advance(3_000);
  const collector = new ModelCollector();
  for (let frame = shipper.nextFrame(); frame !== null; frame = shipper.nextFrame()) {
    const ack = frame.kind === 'block' ? collector.takeBlock(frame.block) : collector.takeGap(frame.gap);
    for (const { segment, offset, rewind } of ack.segments) shipper.committed(segment, offset, rewind);
  }
  shipper.close();
  const given = collector.gaps.map(({ segment, bytes, reason }) => `${segment.run} ${bytes} ${reason}`);
  expect(given.toSorted()).toEqual([100, 101, 102, 103, 104, 105, 106].map((n) => `${n}-1 12 outbox-full`));
  const arrived = [...collector.lines.values()].flat().map(({ line }) => line);
  expect(arrived.toSorted()).toEqual(['new', ...Array.from({ length: 63 }, (_, index) => `started ${107 + index}`)]);
});

it('a place where nothing can be written ends nothing', () => {
  fs.writeFileSync(directory, 'a file in the way');
  const log = opened();
  log.write('nowhere\n');
  expect(followed).toEqual([]);
});

it('without anybody to send it to nothing is kept', () => {
  const log = new AgentLog();
  log.write('first\n');
  log.discard();
  log.write('second\n');
  expect(fs.existsSync(directory)).toBe(false);
});
