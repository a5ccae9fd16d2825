import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openBelow } from '../../../../test/support/open-descriptors.ts';
import { blockFrameBytesMax, encodeBlock, lineBytesMax } from '@relight/shared/log-block';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import { ManualClock } from '@relight/shared/manual-clock';
import { ModelCollector } from '../../../../test/support/model-collector.ts';
import { eventually } from '../../../../test/support/wait.ts';
import { SecretValues } from '../config/secret-values.ts';
import { FollowedFile } from './followed-file.ts';
import { FollowingShipper, type FollowingShipperOptions } from './following-shipper.ts';
import { HolesUnsupportedError, punchHole } from './hole-puncher.ts';
import { lineScanBytesMax } from './raw-cutter.ts';

const mebibyte = 1024 ** 2;
const run: SegmentKey = { workload: 'worker', generation: 1, source: 'process', run: '1' };
const container: SegmentKey = { workload: 'worker', generation: 1, source: 'container', run: 'c' };

let directory = '';
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'relight-logs-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

/** A shipper on real files, its time, and a collector behind a connection that can be cut. */
class World {
  readonly clock = new ManualClock();
  readonly collector: ModelCollector;
  readonly said: string[] = [];
  readonly shipper: FollowingShipper;

  constructor(options: Partial<FollowingShipperOptions> = {}, collector = new ModelCollector()) {
    this.collector = collector;
    const warn = (_data: unknown, text: string): void => void this.said.push(text);
    const logger = { info: () => undefined, warn, error: warn } as unknown as FollowingShipperOptions['logger'];
    const index = join(directory, 'index');
    this.shipper = new FollowingShipper({
      directory: index,
      clock: this.clock,
      logger,
      delivering: true,
      rateLimit: () => null,
      ...options,
    });
  }

  connect(): void {
    const segments = this.shipper.segments();
    this.shipper.resume(segments.map((segment) => ({ segment, offset: this.collector.committed.get(segmentId(segment)) ?? 0 })));
  }

  /** The shipper looks at its files, and everything is due. */
  tick(): void {
    this.clock.advance(1_000);
    this.clock.advance(2_000);
  }

  /** Sends what is due. `acknowledged` false: the collector has it, but the answer is lost. */
  send(acknowledged = true): number {
    for (let frames = 0; ; frames += 1) {
      const frame = this.shipper.nextFrame();
      if (frame === null) return frames;
      const ack = frame.kind === 'block' ? this.collector.takeBlock(frame.block) : this.collector.takeGap(frame.gap);
      if (acknowledged) for (const { segment, offset, rewind } of ack.segments) this.shipper.committed(segment, offset, rewind);
    }
  }

  drain(): void {
    this.tick();
    this.send();
  }
}

const path = (name: string): string => join(directory, name);
const entry = (log: string, stream = 'stdout', time = '2026-01-02T03:04:05.678901234Z'): string =>
  `${JSON.stringify({ log, stream, time })}\n`;

const rotate = (): void => {
  for (let number = 4; number >= 1; number -= 1) {
    if (fs.existsSync(path(`c.log.${number}`))) fs.renameSync(path(`c.log.${number}`), path(`c.log.${number + 1}`));
  }
  fs.rmSync(path('c.log.3'), { force: true });
  fs.renameSync(path('c.log'), path('c.log.1'));
  fs.writeFileSync(path('c.log'), '');
};

/** By inotify, of this process. */
const watchedInodes = (): number[] =>
  fs.readdirSync('/proc/self/fdinfo').flatMap((fd) => {
    try {
      const info = fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
      return [...info.matchAll(/^inotify wd:\S+ ino:([0-9a-f]+)/gm)].map(([, ino = '']) => Number.parseInt(ino, 16));
    } catch {
      return []; // the descriptor of this very listing
    }
  });

describe('a run', () => {
  test('every line once, with its time; the last one without newline when the run is finished', () => {
    const world = new World();
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    fs.appendFileSync(path('run'), 'one\ntwo\n\nthr');
    world.drain();
    expect(world.collector.texts(run)).toEqual(['one', 'two', '']);
    fs.appendFileSync(path('run'), 'ee');
    world.drain();
    expect(world.collector.texts(run)).toHaveLength(3);
    world.shipper.finish(run);
    world.send();
    expect(world.collector.texts(run)).toEqual(['one', 'two', '', 'three']);
    expect(world.shipper.segments()).toEqual([]);
    expect(world.collector.rewinds).toBe(0);
  });

  test('its backlog says what waits, since when, and what was sent; half a line waits for nobody', () => {
    const world = new World({ bytesMax: mebibyte });
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.clock.advance(1_000);
    expect(world.shipper.backlog()).toEqual({ bytes: 0, bytesMax: mebibyte, waitingBytes: 0, oldestAt: null, sentLines: 0, sentBytes: 0 });
    fs.appendFileSync(path('run'), 'one\ntwo\n');
    world.clock.advance(1_000);
    const seen = world.clock.now();
    world.clock.advance(30_000);
    fs.appendFileSync(path('run'), 'three\n');
    world.clock.advance(1_000);
    expect(world.shipper.backlog()).toMatchObject({ bytes: 14, waitingBytes: 14, oldestAt: seen, sentLines: 0 });
    world.connect();
    world.tick();
    world.send(false);
    expect(world.shipper.backlog()).toMatchObject({ waitingBytes: 14, oldestAt: seen, sentLines: 3, sentBytes: 14 });
    world.connect();
    expect(world.shipper.backlog()).toMatchObject({ waitingBytes: 0, oldestAt: null });
    fs.appendFileSync(path('run'), 'a prompt> ');
    world.drain();
    expect(world.shipper.backlog()).toMatchObject({ waitingBytes: 10, oldestAt: null });
  });

  test('what asking for a frame costs does not grow with the number of quiet files', () => {
    const costMs = (files: number): number => {
      const world = new World();
      for (let n = 0; n < files; n += 1) {
        fs.writeFileSync(path(`quiet-${n}`), 'one\n');
        world.shipper.follow({ key: { ...run, run: String(n) }, path: path(`quiet-${n}`), format: 'raw' });
      }
      world.connect();
      world.send();
      const before = process.threadCpuUsage();
      let frames = 0;
      for (let asked = 0; asked < 1_000; asked += 1) if (world.shipper.nextFrame() !== null) frames += 1;
      const { user, system } = process.threadCpuUsage(before);
      expect(frames).toBe(0);
      world.shipper.close();
      return (user + system) / 1_000;
    };
    // To ask each of them takes half a second and more.
    expect(costMs(3_000)).toBeLessThan(5 * costMs(3) + 100);
  });

  describe('one that cannot be opened when it is over', () => {
    /** ELOOP, whoever asks: root may open what others may not. */
    const locked = (name: string): void => fs.symlinkSync(path(name), path(name));

    test.each([
      [run, 'raw' as const, 'one\ntwo\n'],
      [container, 'json-file' as const, entry('one\n') + entry('two\n')],
    ])('is tried again, and comes whole: %o', (key, format, text) => {
      const world = new World();
      locked('late');
      world.shipper.follow({ key, path: path('late'), format });
      world.connect();
      // Nor could it be while it was written to, for longer than it is tried afterwards.
      world.clock.advance(20 * 60_000);
      world.shipper.finish(key);
      world.drain();
      world.connect();
      world.drain();
      expect(world.shipper.segments()).toEqual([key]);
      fs.rmSync(path('late'));
      fs.writeFileSync(path('late'), text);
      world.drain();
      expect(world.collector.texts(key)).toEqual(['one', 'two']);
      expect(world.shipper.segments()).toEqual([]);
      expect(world.collector.gaps).toEqual([]);
    });

    test.each([
      ['it stays so', (world: World): void => world.clock.advance(10 * 60_000)],
      ['it is removed meanwhile', (): void => fs.rmSync(path('late'))],
    ])('is told as a gap with the reason in the end: %s', (_, end) => {
      const world = new World();
      locked('late');
      world.shipper.follow({ key: container, path: path('late'), format: 'json-file' });
      world.shipper.finish(container);
      end(world);
      world.drain();
      world.connect();
      world.drain();
      expect(world.collector.gaps).toEqual([expect.objectContaining({ from: 0, to: 1, reason: 'unreadable' })]);
      expect(world.said).toEqual(['a log file cannot be read', 'a log file could not be read to its end; a gap tells of it']);
      expect(world.shipper.segments()).toEqual([]);
    });

    test('and what was rotated away from it meanwhile, too', () => {
      const world = new World();
      fs.writeFileSync(path('c.log'), entry('one\n'));
      world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
      world.connect();
      world.drain();
      fs.renameSync(path('c.log'), path('c.log.1'));
      locked('c.log');
      world.shipper.finish(container);
      world.drain();
      fs.rmSync(path('c.log'));
      fs.writeFileSync(path('c.log'), entry('two\n'));
      world.drain();
      expect(world.collector.texts(container)).toEqual(['one', 'two']);
    });

    test('also when what was known of it before is sent meanwhile', () => {
      const world = new World();
      fs.writeFileSync(path('c.log'), entry('one\n'));
      world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
      world.connect();
      fs.renameSync(path('c.log'), path('c.log.1'));
      locked('c.log');
      world.shipper.finish(container);
      // No look between the one that failed and the answer.
      world.send();
      expect(world.collector.texts(container)).toEqual(['one']);
      expect(world.shipper.segments()).toEqual([container]);
      world.drain();
      fs.rmSync(path('c.log'));
      fs.writeFileSync(path('c.log'), entry('two\n'));
      world.drain();
      expect(world.collector.texts(container)).toEqual(['one', 'two']);
      expect(world.collector.gaps).toEqual([]);
      expect(world.shipper.segments()).toEqual([]);
    });
  });

  test('a file that appears later is followed', () => {
    const world = new World();
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.drain();
    fs.writeFileSync(path('run'), 'late\n');
    world.drain();
    expect(world.collector.texts(run)).toEqual(['late']);
  });

  test('lines written while the collector was away keep their times; those from before we looked are approximate', () => {
    const world = new World();
    fs.writeFileSync(path('run'), 'old\n');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    fs.appendFileSync(path('run'), 'first\n');
    world.clock.advance(100);
    const first = world.clock.now();
    world.clock.advance(59_900);
    fs.appendFileSync(path('run'), 'second\n');
    world.clock.advance(1_000);
    const second = world.clock.now();
    world.clock.advance(60_000);
    world.connect();
    world.drain();
    const lines = world.collector.lines.get(segmentId(run)) ?? [];
    expect(lines.map(({ at, atApprox, line }) => [line, atApprox === true ? 'about' : at])).toEqual([
      ['old', 'about'],
      ['first', first],
      ['second', second],
    ]);
  });

  test('what a collector has lost comes with approximate times, since they were forgotten when it had it', () => {
    const world = new World();
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    for (const line of ['one', 'two']) {
      fs.appendFileSync(path('run'), `${line}\n`);
      world.drain();
    }
    const told = world.clock.now();
    world.clock.advance(60_000);
    fs.appendFileSync(path('run'), 'three\n');
    world.tick();
    world.collector.committed.delete(segmentId(run));
    world.collector.lines.delete(segmentId(run));
    world.connect();
    world.send();
    const lines = world.collector.lines.get(segmentId(run)) ?? [];
    expect(lines.map(({ line, atApprox }) => [line, atApprox === true])).toEqual([
      ['one', true],
      ['two', true],
      ['three', false],
    ]);
    expect(lines[1]?.at).toBeLessThanOrEqual(told);
  });

  test('a look that comes late dates what it finds by the file, not before the look that did not find it', () => {
    const world = new World();
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    const began = world.clock.now();
    const write = (text: string, at: number): void => {
      fs.appendFileSync(path('run'), text);
      fs.utimesSync(path('run'), at / 1_000, at / 1_000);
      world.clock.advance(1_000);
    };
    write('late\n', began + 300);
    write('dated by somebody\n', began - 3_600_000);
    world.connect();
    world.drain();
    const [late, dated] = world.collector.lines.get(segmentId(run)) ?? [];
    expect(late).toMatchObject({ line: 'late', at: began + 310 });
    expect(dated).toMatchObject({ line: 'dated by somebody' });
    expect(dated?.at).toBeGreaterThanOrEqual(began + 1_000);
  });

  test.each(['raw', 'json-file'] as const)('a line longer than what is read in one go, in a file that grows no more (%s)', (format) => {
    const world = new World();
    const long = 'x'.repeat(2.5 * mebibyte);
    const key = format === 'raw' ? run : container;
    // The engine splits what is longer than 16 KiB.
    const parts = Array.from({ length: long.length / 16_384 }, (_, index) => long.slice(index * 16_384, (index + 1) * 16_384));
    fs.writeFileSync(
      path('long'),
      format === 'raw' ? `before\n${long}\nafter\n` : [`before\n`, ...parts, '\n', 'after\n'].map((log) => entry(log)).join(''),
    );
    world.shipper.follow({ key, path: path('long'), format });
    world.connect();
    world.drain();
    world.drain();
    world.drain();
    expect(world.collector.texts(key)).toEqual(['before', long.slice(0, lineBytesMax), 'after']);
    expect(world.shipper.lagBytes()).toBe(0);
    expect(world.collector.rewinds).toBe(0);
  });

  test('of progress bars the last state; NUL, invalid UTF-8 and over-long lines pass without harm', () => {
    const world = new World();
    const long = 'x'.repeat(3 * lineBytesMax);
    fs.writeFileSync(
      path('run'),
      Buffer.concat([Buffer.from(`50%\r99%\r\nnul \0 byte\n`), Buffer.from([0xff, 0xfe, 10]), Buffer.from(`${long}\nend\n`)]),
    );
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.drain();
    const lines = world.collector.lines.get(segmentId(run)) ?? [];
    expect(lines.map(({ line, collapsed }) => [line.length, collapsed])).toEqual([
      [3, 1],
      [10, undefined],
      [2, undefined],
      [lineBytesMax, undefined],
      [3, undefined],
    ]);
    expect(lines[0]?.line).toBe('99%');
    expect(lines.map(({ truncated }) => truncated === true)).toEqual([false, false, false, true, false]);
    expect(lines[4]?.offset).toBe(fs.statSync(path('run')).size - 4);
  });

  test('a symbolic link or a directory is refused, said once, and stops nothing else', () => {
    const world = new World();
    fs.writeFileSync(path('secret'), 'secret\n');
    fs.symlinkSync(path('secret'), path('link'));
    fs.writeFileSync(path('run'), 'line\n');
    world.shipper.follow({ key: { ...run, run: '2' }, path: path('link'), format: 'raw' });
    world.shipper.follow({ key: { ...run, run: '3' }, path: directory, format: 'raw' });
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.drain();
    world.drain();
    expect([...world.collector.lines.keys()]).toEqual([segmentId(run)]);
    expect(world.said).toHaveLength(2);
  });

  test('an unlinked file of a live process is read through its descriptor', () => {
    const world = new World();
    const fd = fs.openSync(path('run'), 'a');
    fs.writeSync(fd, 'still here\n');
    fs.unlinkSync(path('run'));
    world.shipper.follow({ key: run, path: `/proc/${process.pid}/fd/${fd}`, format: 'raw' });
    world.connect();
    world.drain();
    fs.closeSync(fd);
    expect(world.collector.texts(run)).toEqual(['still here']);
  });

  test('where the descriptor of a live process leads by then, nobody goes: what is open is watched', () => {
    const world = new World();
    const [fd, writer] = [fs.openSync(path('run'), 'a'), fs.openSync(path('run'), 'a')];
    fs.writeFileSync(path('elsewhere'), '');
    // What has just been written to is watched when it is quiet.
    fs.writeSync(writer, 'one\n');
    world.shipper.follow({ key: run, path: `/proc/${process.pid}/fd/${fd}`, format: 'raw' });
    fs.closeSync(fd);
    const other = fs.openSync(path('elsewhere'), 'r');
    world.clock.advance(1_000);
    expect(other).toBe(fd);
    expect(watchedInodes()).not.toContain(fs.statSync(path('elsewhere')).ino);
    expect(watchedInodes()).toContain(fs.statSync(path('run')).ino);
    for (const open of [other, writer]) fs.closeSync(open);
    world.shipper.close();
  });

  test('a file that somebody truncated after its writer had ended is a gap, and over', () => {
    const world = new World();
    fs.writeFileSync(path('run'), 'one\ntwo\n');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.shipper.finish(run);
    fs.truncateSync(path('run'), 0);
    world.connect();
    world.drain();
    expect(world.collector.gaps.map(({ from, reason, bytes }) => [from, reason, bytes])).toEqual([[0, 'rotated', undefined]]);
    expect(world.shipper.segments()).toEqual([]);
    expect(world.shipper.lagBytes()).toBe(0);
  });

  test('the directory with the positions is deleted: everything goes on', () => {
    const world = new World();
    fs.writeFileSync(path('run'), 'one\n');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.drain();
    fs.rmSync(path('index'), { recursive: true });
    for (let second = 0; second < 15; second += 1) world.clock.advance(1_000);
    fs.appendFileSync(path('run'), 'two\n');
    world.drain();
    expect(world.collector.texts(run)).toEqual(['one', 'two']);
  });

  test('a restarted agent goes on where the collector is; a collector that lost everything gets everything again', () => {
    fs.writeFileSync(path('run'), 'one\ntwo\n');
    const before = new World();
    before.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    before.connect();
    before.tick();
    before.send(false);
    before.shipper.close();
    fs.appendFileSync(path('run'), 'three\n');
    const after = new World({}, before.collector);
    after.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    after.connect();
    after.drain();
    expect(after.collector.texts(run)).toEqual(['one', 'two', 'three']);
    after.shipper.close();
    const anew = new World();
    anew.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    anew.connect();
    anew.drain();
    expect(anew.collector.texts(run)).toEqual(['one', 'two', 'three']);
  });

  test('over the rate limit lines become a counted gap, in every window anew', () => {
    const world = new World({ rateLimit: () => ({ lines: 10, windowMs: 1_000 }) });
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    for (const round of [0, 1]) {
      fs.appendFileSync(path('run'), Array.from({ length: 30 }, (_, index) => `${round}/${index}\n`).join(''));
      world.drain();
    }
    expect(world.collector.texts(run)).toHaveLength(20);
    expect(world.collector.gaps.map(({ lines, reason }) => [reason, lines])).toEqual([
      ['rate-limit', 20],
      ['rate-limit', 20],
    ]);
    expect(world.collector.committed.get(segmentId(run))).toBe(fs.statSync(path('run')).size);
  });

  test('a gap is counted once, when it has arrived, however often it was sent and whatever became of the answer', () => {
    const world = new World({ rateLimit: () => ({ lines: 10, windowMs: 1_000 }) });
    const gaps = (): unknown => world.shipper.gaps();
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    const flood = (round: number): void => {
      fs.appendFileSync(path('run'), Array.from({ length: 30 }, (_, index) => `${round}/${index}\n`).join(''));
      world.tick();
    };
    flood(0);
    const none = { count: 0, lines: 0, bytes: 0, last: null, untoldBytes: 0 };
    // Lost on its way, every time.
    for (let time = 0; time < 3; time += 1) {
      while (world.shipper.nextFrame() !== null);
      world.connect();
    }
    expect(gaps()).toEqual(none);
    world.send(false);
    expect(gaps()).toEqual(none);
    // The answer was lost, and the next session says it.
    world.connect();
    const [first] = world.collector.gaps;
    const counted = { count: 1, lines: 20, bytes: first?.bytes, last: { segment: run, reason: 'rate-limit', at: first?.at } };
    expect(gaps()).toEqual({ ...counted, untoldBytes: 0 });
    world.connect();
    expect(gaps()).toMatchObject(counted);
    flood(1);
    world.send();
    expect(world.collector.gaps).toHaveLength(2);
    expect(gaps()).toMatchObject({ count: 2, lines: 40, last: { at: world.collector.gaps[1]?.at } });
  });

  test('far over the rate limit lines are not even counted, only bytes, and the next window begins with a whole line', () => {
    const world = new World({ rateLimit: () => ({ lines: 10, windowMs: 60_000 }) });
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    fs.appendFileSync(path('run'), `${'flood'.padEnd(99, '.')}\n`.repeat(500_000));
    world.drain();
    world.clock.advance(60_000);
    fs.appendFileSync(path('run'), 'calm\n');
    world.drain();
    expect(world.collector.texts(run)).toHaveLength(11);
    expect(world.collector.texts(run).at(-1)).toBe('calm');
    const bytes = world.collector.gaps.reduce((sum, gap) => sum + (gap.bytes ?? 0), 0);
    expect(bytes).toBe(50_000_000 - 1_000);
    expect(world.collector.gaps.some(({ lines }) => lines === undefined)).toBe(true);
    expect(new Set(world.collector.gaps.map(({ reason }) => reason))).toEqual(new Set(['rate-limit']));
  });

  test('a progress bar that does not end is told of after some seconds, sooner to those who watch', () => {
    const world = new World();
    fs.writeFileSync(path('run'), 'start\n');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.drain();
    for (let percent = 1; percent <= 20; percent += 1) {
      fs.appendFileSync(path('run'), `\r${percent}%`);
      world.clock.advance(500);
      world.send();
    }
    const shown = world.collector.texts(run);
    expect(shown.length).toBeGreaterThanOrEqual(2);
    expect(shown.length).toBeLessThanOrEqual(3);
    world.shipper.watch([{ workload: 'worker' }]);
    fs.appendFileSync(path('run'), '\r99%');
    for (let step = 0; step < 12; step += 1) {
      world.clock.advance(100);
      world.send();
    }
    expect(world.collector.texts(run).at(-1)).toBe('99%');
    fs.appendFileSync(path('run'), '\r100%\ndone\n');
    world.drain();
    expect(world.collector.texts(run).slice(-2)).toEqual(['100%', 'done']);
    expect(world.collector.rewinds).toBe(0);
  });

  test('lines that do not compress become more and smaller blocks', () => {
    const world = new World();
    const noise = Array.from({ length: 3_000 }, () =>
      randomBytes(750)
        .toString('latin1')
        .replaceAll(/[\n\r]/g, '.'),
    );
    fs.writeFileSync(path('run'), Buffer.from(noise.map((line) => `${line}\n`).join(''), 'latin1'));
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.tick();
    const sizes: number[] = [];
    for (let frame = world.shipper.nextFrame(); frame !== null; frame = world.shipper.nextFrame()) {
      if (frame.kind !== 'block') continue;
      sizes.push(encodeBlock(frame.block).length);
      for (const { segment, offset, rewind } of world.collector.takeBlock(frame.block).segments)
        world.shipper.committed(segment, offset, rewind);
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(blockFrameBytesMax);
    expect(world.collector.texts(run)).toHaveLength(3_000);
  });

  test('a secret is taken out wherever it stands, and every other line keeps its offset', () => {
    const world = new World({
      redact: () => (bytes) =>
        Buffer.from(bytes).includes('hunter2') ? Buffer.from(Buffer.from(bytes).toString().replaceAll('hunter2', '[redacted]')) : bytes,
    });
    const lines = ['one', 'password hunter2 and hunter2', 'three', '', 'hunter2', 'six'];
    fs.writeFileSync(path('run'), lines.map((line) => `${line}\n`).join(''));
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.drain();
    expect(world.collector.texts(run)).toEqual(lines.map((line) => line.replaceAll('hunter2', '[redacted]')));
    expect(world.collector.lines.get(segmentId(run))?.map(({ offset }) => offset)).toEqual([0, 4, 33, 39, 40, 48]);
  });

  test('files of older runs are removed after a while; the newest finished one stays', () => {
    const world = new World();
    for (const number of ['1', '2', '3']) {
      fs.writeFileSync(path(number), `run ${number}\n`);
      const key = { ...run, run: number };
      world.shipper.follow({ key, path: path(number), format: 'raw' });
      world.connect();
      world.drain();
      world.shipper.finish(key);
    }
    expect(fs.existsSync(path('1'))).toBe(true);
    world.clock.advance(70_000);
    expect(['1', '2', '3'].map((number) => fs.existsSync(path(number)))).toEqual([false, false, true]);
  });
});

describe('turns and haste', () => {
  test('a small segment does not wait behind a large one', () => {
    const world = new World();
    const small = { ...run, run: '2' };
    fs.writeFileSync(path('large'), 'x'.repeat(99).concat('\n').repeat(20_000));
    fs.writeFileSync(path('small'), 'small\n');
    world.shipper.follow({ key: run, path: path('large'), format: 'raw' });
    world.shipper.follow({ key: small, path: path('small'), format: 'raw' });
    world.connect();
    world.tick();
    const first = [world.shipper.nextFrame(), world.shipper.nextFrame()].map((frame) =>
      frame?.kind === 'block' ? frame.block.header.segment.run : '',
    );
    expect(first.toSorted()).toEqual(['1', '2']);
  });

  test('unwatched, the first line waits 100 ms and more of them two seconds for company; watched ones 10 ms', () => {
    const world = new World();
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    let calls = 0;
    world.shipper.onReady(() => void (calls += 1));
    const write = (text: string): void => {
      fs.appendFileSync(path('run'), text);
      world.clock.advance(1_000);
    };
    write('a\n');
    expect(world.shipper.nextFrame()).toBeNull();
    world.clock.advance(100);
    expect(world.shipper.nextFrame()?.kind).toBe('block');
    write('b\n');
    world.clock.advance(900);
    expect(world.shipper.nextFrame()).toBeNull();
    world.clock.advance(100);
    expect(world.shipper.nextFrame()?.kind).toBe('block');
    write('c\n');
    expect(world.shipper.nextFrame()).toBeNull();
    calls = 0;
    world.shipper.watch([{ workload: 'worker', source: 'process' }]);
    world.clock.advance(1);
    expect(calls).toBeGreaterThan(0);
    expect(world.shipper.nextFrame()?.kind).toBe('block');
  });

  test('a rewind cuts anew from there', () => {
    const world = new World();
    fs.writeFileSync(path('run'), 'a\nb\n');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.tick();
    expect(world.shipper.nextFrame()).not.toBeNull(); // lost on the way
    fs.appendFileSync(path('run'), 'c\n');
    world.drain();
    expect(world.collector.rewinds).toBe(1);
    expect(world.collector.texts(run)).toEqual(['a', 'b', 'c']);
  });
});

describe('the container log of the engine', () => {
  test('entries, their streams and times; lines that the engine split are whole again, also interwoven', () => {
    const world = new World();
    const part = 'p'.repeat(16_384);
    fs.writeFileSync(
      path('c.log'),
      entry('out\n') + entry(part) + entry('err\n', 'stderr') + entry(part) + entry('end\n') + entry('after\n') + 'not json\n',
    );
    world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
    world.connect();
    world.drain();
    const lines = world.collector.lines.get(segmentId(container)) ?? [];
    expect(lines.map(({ line, stream }) => [line.length, stream])).toEqual([
      [3, 'stdout'],
      [16_384 * 2 + 3, 'stdout'],
      [3, 'stderr'],
      [5, 'stdout'],
      [8, 'both'],
    ]);
    expect(lines[0]?.at).toBe(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
    expect(world.collector.committed.get(segmentId(container))).toBe(fs.statSync(path('c.log')).size);
  });

  test('the rate limit goes by the times of the entries, however much of them is read later', () => {
    const world = new World({ rateLimit: () => ({ lines: 10, windowMs: 1_000 }) });
    fs.writeFileSync(path('c.log'), entry('first\n', 'stdout', '2026-01-02T03:04:04Z'));
    world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
    world.connect();
    world.drain();
    fs.appendFileSync(path('c.log'), Array.from({ length: 5_000 }, (_, index) => entry(`${index}\n`)).join(''));
    world.drain();
    expect(world.collector.texts(container)).toHaveLength(11);
    expect(world.collector.gaps.reduce((sum, { lines }) => sum + (lines ?? Number.NaN), 0)).toBe(4_990);
  });

  test('model: writes, rotations, restarts of the agent and lost answers in any order lose and double nothing while a file exists', () => {
    const action = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('write' as const), lines: fc.integer({ min: 1, max: 5 }) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('rotate' as const) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('send' as const), acknowledged: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('reconnect' as const) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), clean: fc.boolean(), connects: fc.boolean() }) },
    );
    // What the next agent remembers is gone, and the collector has more of that than it remembers.
    const remembered = [
      { do: 'write' as const, lines: 2 },
      { do: 'send' as const, acknowledged: false },
      ...Array.from({ length: 3 }, () => ({ do: 'rotate' as const })),
      { do: 'restart' as const, clean: false, connects: true },
      { do: 'write' as const, lines: 1 },
    ];
    // And one in between has written down where it took them to be, and has never heard what the collector has.
    const guessed = [
      ...remembered.slice(0, -2),
      { do: 'restart' as const, clean: false, connects: false },
      { do: 'write' as const, lines: 1 },
      { do: 'restart' as const, clean: true, connects: true },
    ];
    fc.assert(
      fc.property(fc.array(action, { maxLength: 25 }), (actions) => {
        fs.rmSync(directory, { recursive: true });
        fs.mkdirSync(directory);
        fs.writeFileSync(path('c.log'), '');
        let world = new World();
        const follow = (connects: boolean): void => {
          world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
          if (connects) world.connect();
        };
        follow(true);
        let written = 0;
        const write = (): void => fs.appendFileSync(path('c.log'), entry(`line ${written++}\n`));
        for (const step of actions) {
          if (step.do === 'write') {
            for (let count = 0; count < step.lines; count += 1) write();
          } else if (step.do === 'rotate') {
            // An engine rotates what is full, never an empty file.
            if (fs.statSync(path('c.log')).size === 0) write();
            rotate();
            world.tick(); // two files survive a rotation here: the agent looks at least once before a third
          } else if (step.do === 'send') {
            world.tick();
            world.send(step.acknowledged);
          } else if (step.do === 'reconnect') {
            world.connect();
          } else {
            world.tick();
            if (step.clean) world.shipper.close();
            world = new World({}, world.collector);
            follow(step.connects);
          }
        }
        world.connect();
        world.drain();
        write();
        world.drain();
        world.shipper.close();
        const arrived = world.collector.texts(container);
        const holes = world.collector.gaps.filter(({ reason }) => reason === 'rotated');
        expect(new Set(arrived).size).toBe(arrived.length);
        expect(holes.length > 0 ? written : arrived.length).toBe(written);
        // Whatever was lost before: where it goes on is agreed.
        expect(arrived.at(-1)).toBe(`line ${written - 1}`);
      }),
      { numRuns: 60, examples: [[remembered], [guessed]] },
    );
  });

  test('two rotations between two looks are followed file by file', () => {
    const world = new World();
    fs.writeFileSync(path('c.log'), entry('1\n'));
    world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
    world.connect();
    world.drain();
    for (const number of [2, 3]) {
      fs.appendFileSync(path('c.log'), entry(`end of ${number - 1}\n`));
      rotate();
      fs.appendFileSync(path('c.log'), entry(`${number}\n`));
    }
    world.drain();
    expect(world.collector.texts(container)).toEqual(['1', 'end of 1', '2', 'end of 2', '3']);
    expect(world.collector.gaps).toEqual([]);
  });

  test('files of which nothing is remembered, at a collector that knows nothing: sent once, however often it is asked', () => {
    const world = new World();
    fs.writeFileSync(path('c.log.1'), entry('1\n'));
    fs.writeFileSync(path('c.log'), entry('2\n'));
    world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
    world.connect();
    world.drain();
    world.connect();
    fs.appendFileSync(path('c.log'), entry('3\n'));
    world.drain();
    expect(world.collector.texts(container)).toEqual(['1', '2', '3']);
    expect(world.collector.gaps).toEqual([]);
  });

  describe('files that were rotated and compressed while the agent was down', () => {
    const compress = (): void => {
      for (let number = 4; number >= 1; number -= 1) {
        if (fs.existsSync(path(`c.log.${number}.gz`))) fs.renameSync(path(`c.log.${number}.gz`), path(`c.log.${number + 1}.gz`));
      }
      fs.writeFileSync(path('c.log.1.gz'), gzipSync(fs.readFileSync(path('c.log'))));
      fs.rmSync(path('c.log'));
      fs.writeFileSync(path('c.log'), '');
    };
    const long = 'x'.repeat(200);
    const expected: string[] = [];
    const write = (name: string, lines: number): void => {
      const texts = Array.from({ length: lines }, (_, index) => `${name} ${index} ${long}`);
      expected.push(...texts);
      fs.appendFileSync(path('c.log'), texts.map((text) => entry(`${text}\n`)).join(''));
    };
    const begun = (collector?: ModelCollector): World => {
      const world = new World({}, collector);
      world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
      world.connect();
      return world;
    };
    const leave = (): ModelCollector => {
      expected.length = 0;
      fs.writeFileSync(path('c.log'), '');
      const world = begun();
      write('seen', 10);
      world.drain();
      world.tick();
      world.shipper.close();
      write('end of the seen', 5_000);
      compress();
      write('never seen', 3_000);
      compress();
      write('newest', 10);
      return world.collector;
    };
    const sends = (world: World, lines: number): Promise<void> =>
      eventually(
        () => {
          world.drain();
          expect(world.collector.texts(container)).toHaveLength(lines);
        },
        { what: `${lines} lines` },
      );

    test.each(['runs', 'is over'])('are read to their end (the container %s)', async (how) => {
      const world = begun(leave());
      if (how === 'is over') world.shipper.finish(container);
      await sends(world, expected.length);
      if (how === 'runs') {
        write('after', 10);
        compress();
        write('after the rotation', 10);
        await sends(world, expected.length);
      }
      expect(world.shipper.segments()).toHaveLength(how === 'runs' ? 1 : 0);
      expect(world.collector.texts(container)).toEqual(expected);
      expect(world.collector.gaps).toEqual([]);
      expect(world.said).toEqual([]);
      world.shipper.close();
      expect(fs.readdirSync(path('index'))).toEqual(['segments.json']);
    });

    test('also when it goes on while they are unpacked, and when the agent ends in the middle of them', async () => {
      const world = begun(leave());
      write('meanwhile', 10);
      compress();
      write('behind it', 10);
      for (let frame = world.shipper.nextFrame(); ; frame = world.shipper.nextFrame()) {
        if (frame?.kind === 'block') {
          world.collector.takeBlock(frame.block);
          break;
        }
        await new Promise(setImmediate);
        world.tick();
      }
      expect(world.collector.texts(container).length).toBeLessThan(expected.length);
      world.shipper.close();
      const next = begun(world.collector);
      await sends(next, expected.length);
      expect(next.collector.texts(container)).toEqual(expected);
      expect([...next.collector.gaps, ...next.said]).toEqual([]);
      next.shipper.close();
    });

    test.each(['runs', 'is over'])(
      'one that is damaged is a gap, said once, and what is behind it is read (the container %s)',
      async (how) => {
        const collector = leave();
        fs.truncateSync(path('c.log.2.gz'), fs.statSync(path('c.log.2.gz')).size - 100);
        const world = begun(collector);
        if (how === 'is over') world.shipper.finish(container);
        await sends(world, 20);
        expect(world.collector.texts(container)).toEqual([...expected.slice(0, 10), ...expected.slice(-10)]);
        expect(world.collector.gaps.map(({ reason, bytes }) => [reason, bytes])).toEqual([['rotated', undefined]]);
        expect(world.said).toHaveLength(1);
        expect(world.shipper.segments()).toHaveLength(how === 'runs' ? 1 : 0);
        world.shipper.close();
      },
    );
  });

  test('files that were rotated away while the agent was down are a counted gap', () => {
    fs.writeFileSync(path('c.log'), entry('1\n'));
    const before = new World();
    before.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
    before.connect();
    before.drain();
    before.tick();
    before.shipper.close();
    for (const number of [2, 3, 4, 5]) {
      rotate();
      fs.appendFileSync(path('c.log'), entry(`${number}\n`));
    }
    const after = new World({}, before.collector);
    after.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
    after.connect();
    after.drain();
    expect(after.collector.gaps.map(({ bytes, reason }) => [reason, bytes])).toEqual([['rotated', undefined]]);
    expect(after.collector.texts(container)).toEqual(['1', '5']);
  });

  test('a log that is truncated in place goes on behind a gap', () => {
    const world = new World();
    fs.writeFileSync(path('c.log'), entry('1\n').repeat(3));
    world.shipper.follow({ key: container, path: path('c.log'), format: 'json-file' });
    world.connect();
    world.drain();
    fs.truncateSync(path('c.log'), 0);
    fs.appendFileSync(path('c.log'), entry('2\n'));
    world.drain();
    expect(world.collector.texts(container)).toEqual(['1', '1', '1', '2']);
    expect(world.collector.gaps).toHaveLength(1);
  });
});

describe('what goes on after its end', () => {
  test('a container that is started again while the collector is away', () => {
    const world = new World();
    const file = { key: container, path: path('c.log'), format: 'json-file' } as const;
    fs.writeFileSync(path('c.log'), entry('first\n'));
    world.shipper.follow(file);
    world.shipper.finish(container);
    world.shipper.follow(file);
    world.connect();
    world.drain();
    fs.appendFileSync(path('c.log'), entry('second\n'));
    world.drain();
    expect(world.collector.texts(container)).toEqual(['first', 'second']);
    world.shipper.finish(container);
    world.drain();
    expect(world.shipper.segments()).toEqual([]);
  });

  test.each(['in the same session', 'by another agent'])(
    'a container that is started again after all was sent, rotated before (%s)',
    (how) => {
      let world = new World();
      const file = { key: container, path: path('c.log'), format: 'json-file' } as const;
      fs.writeFileSync(path('c.log'), '');
      world.shipper.follow(file);
      world.connect();
      for (const number of [1, 2, 3, 4]) {
        fs.appendFileSync(path('c.log'), entry(`${number}\n`));
        world.drain();
        rotate();
        world.drain();
      }
      world.shipper.finish(container);
      world.drain();
      expect(world.shipper.segments()).toEqual([]);
      if (how !== 'in the same session') {
        world.shipper.close();
        world = new World({}, world.collector);
      }
      fs.appendFileSync(path('c.log'), entry('again\n'));
      world.shipper.follow(file);
      if (how !== 'in the same session') world.connect();
      world.drain();
      expect(world.collector.texts(container)).toEqual(['1', '2', '3', '4', 'again']);
      expect(world.collector.gaps).toEqual([]);
    },
  );
});

describe('a secret that is cut in two leaves the host in no part', () => {
  const secret = 'hunter2-and-the-rest';
  const [half, rest] = [secret.slice(0, 8), secret.slice(8)];
  const secrets = new SecretValues([]);
  secrets.learn([secret]);
  const patterns = new SecretValues([], null, ['hunter2-[a-z-]+']);
  const redact = (by: SecretValues): Partial<FollowingShipperOptions> => ({
    redact:
      () =>
      (bytes, ...torn) =>
        by.bytes(bytes, ...torn),
  });
  const sent = (content: string | Buffer, by: SecretValues, { format = 'raw', committed = 0 } = {}): string[] => {
    const key = format === 'raw' ? run : container;
    fs.rmSync(path('index'), { recursive: true, force: true });
    fs.writeFileSync(path('cut'), content);
    const world = new World(redact(by));
    if (committed > 0) world.collector.committed.set(segmentId(key), committed);
    world.shipper.follow({ key, path: path('cut'), format: format as 'raw' | 'json-file' });
    world.connect();
    for (let pass = 0; pass < 12; pass += 1) world.drain();
    expect(world.shipper.lagBytes()).toBe(0);
    world.shipper.close();
    return world.collector.texts(key);
  };

  test.each([
    ['a value', secrets],
    ['a pattern', patterns],
  ])('where a line without an end is closed (%s)', (_, by) => {
    const filling = 'x'.repeat(lineScanBytesMax - half.length - 1);
    expect(sent(`${filling} ${secret} tail\nnext line\n`, by).slice(1)).toEqual(['[redacted] tail', 'next line']);
  });

  test.each([
    ['a value', secrets],
    ['a pattern', patterns],
  ])('behind what was freed, and for the agent that begins there (%s)', (_, by) => {
    const content = Buffer.concat([Buffer.alloc(8_192), Buffer.from(`${rest} tail\nnext line\n`)]);
    expect(sent(content, by)).toEqual(['[redacted] tail', 'next line']);
    expect(sent(content, by, { committed: 8_192 })).toEqual(['[redacted] tail', 'next line']);
    const inLine = Buffer.from(`before ${secret} tail\nnext line\n`);
    expect(sent(inLine, by, { committed: 7 + half.length })).toEqual(['[redacted] tail', 'next line']);
  });

  test('a line that begins where reading begins keeps its first word, also one that is drawn over another', () => {
    const content = `first line\n${rest} is a word here\n50%\r60%\n`;
    expect(sent(content, patterns, { committed: 11 })).toEqual([`${rest} is a word here`, '60%']);
    expect(sent(content, patterns, { committed: content.length - 4 })).toEqual(['60%']);
    expect(sent(content, patterns, { committed: content.length - 5 })).toEqual(['60%']);
  });

  test('in the engine log: interwoven with too much of the other stream, and an entry that is torn', () => {
    const filling = 'x'.repeat(16_384 - half.length);
    const errors = Array.from({ length: 20 }, (_, index) => entry(`${index} ${'e'.repeat(10_000)}\n`, 'stderr'));
    const woven = [entry(filling + half), ...errors, entry(`${rest} tail\n`), entry('next line\n')].join('');
    const texts = sent(woven, secrets, { format: 'json-file' });
    expect(texts).toHaveLength(23);
    expect([texts[0], ...texts.slice(-2)]).toEqual([`${filling}[redacted]`, '[redacted] tail', 'next line']);

    const torn = entry(`before ${secret} tail\n`);
    const [first = '', ...others] = sent(torn + entry('next line\n'), secrets, { format: 'json-file', committed: torn.indexOf(rest) });
    expect(first).toMatch(/^\[redacted\] tail/);
    expect(others).toEqual(['next line']);
    expect(sent(`${torn.slice(0, torn.indexOf(rest))}\n${entry('next line\n')}`, secrets, { format: 'json-file' })).toEqual([
      '{"log":"before [redacted]',
      'next line',
    ]);
  });
});

describe('space', () => {
  const blocks = (name: string): number => fs.statSync(path(name)).blocks * 512;
  const filler = `${'x'.repeat(127)}\n`.repeat(8_192);

  test('what is acknowledged is freed under a concurrent writer, and no byte is missing', async () => {
    const punched: Promise<void>[] = [];
    const world = new World({
      punchHole: (...range) => {
        const done = punchHole(...range);
        punched.push(done);
        return done;
      },
    });
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    let written = 0;
    for (let round = 0; round < 20; round += 1) {
      const lines = Array.from({ length: 10_000 }, () => `line ${written++} ${'.'.repeat(80)}\n`);
      fs.appendFileSync(path('run'), lines.join(''));
      world.drain();
      await Promise.all(punched);
    }
    world.clock.advance(1_000);
    await Promise.all(punched);
    const texts = world.collector.texts(run);
    expect(texts).toHaveLength(200_000);
    expect(texts.every((text, index) => text.startsWith(`line ${index} `))).toBe(true);
    expect(world.collector.gaps).toEqual([]);
    expect(fs.statSync(path('run')).size).toBeGreaterThan(15 * mebibyte);
    expect(blocks('run')).toBeLessThan(9 * mebibyte);
  }, 240_000);

  test.each(['sent', 'given up'])('a line that begins where the %s bytes end begins there also when they are freed', async (what) => {
    const patterns = new SecretValues([], null, ['hunter2-[a-z-]+']);
    let punched: Promise<void> = Promise.resolve();
    const world = new World({
      bytesMax: (what === 'sent' ? 64 : 8) * mebibyte,
      redact:
        () =>
        (bytes, ...torn) =>
          patterns.bytes(bytes, ...torn),
      punchHole: (...range) => (punched = punchHole(...range)),
    });
    fs.writeFileSync(path('run'), filler.repeat(12));
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    const connectAt = (offset: number): void => {
      world.collector.committed.set(segmentId(run), offset);
      world.connect();
    };
    if (what === 'sent') connectAt(6 * mebibyte);
    world.clock.advance(1_000);
    await punched;
    const freed = 12 * mebibyte - blocks('run');
    expect(freed).toBeGreaterThan(3 * mebibyte);
    // Bytes are given up in whole blocks, and here a line begins with each of them.
    connectAt(what === 'sent' ? 6 * mebibyte : 4 * mebibyte);
    world.drain();
    const texts = world.collector.texts(run);
    expect(texts.length).toBe((what === 'sent' ? 6 : 8) * 8_192);
    expect(texts.filter((text) => text !== 'x'.repeat(127))).toEqual([]);
    expect(world.collector.gaps).toEqual([]);
    world.shipper.close();
  });

  test('over the budget the oldest bytes are freed and become a counted gap', async () => {
    let punched: Promise<void> = Promise.resolve();
    const world = new World({ bytesMax: 8 * mebibyte, punchHole: (...range) => (punched = punchHole(...range)) });
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    for (let round = 0; round < 16; round += 1) {
      fs.appendFileSync(path('run'), filler);
      world.clock.advance(1_000);
      await punched;
    }
    expect(blocks('run')).toBeLessThan(10 * mebibyte);
    const untold = world.shipper.gaps();
    expect(untold).toMatchObject({ count: 0, last: null });
    expect(untold.untoldBytes).toBeGreaterThan(7 * mebibyte);
    world.connect();
    world.drain();
    world.drain();
    const [gap] = world.collector.gaps;
    expect([gap?.reason, gap?.from, gap?.bytes]).toEqual(['outbox-full', 0, gap?.to]);
    expect(gap?.bytes ?? 0).toBeGreaterThan(7 * mebibyte);
    const texts = world.collector.texts(run);
    expect(texts.every((text) => text === 'x'.repeat(127))).toBe(true);
    expect((gap?.bytes ?? 0) + texts.length * 128).toBe(16 * mebibyte);
    expect(world.said).toHaveLength(1);
    const last = { segment: run, reason: 'outbox-full', at: gap?.at };
    expect(world.shipper.gaps()).toEqual({ count: 1, lines: 0, bytes: gap?.bytes, last, untoldBytes: 0 });
  }, 240_000);

  test('when it is forgotten how much was sent, what was freed is no backlog: nothing is given up before the collector says it', async () => {
    let punched: Promise<void> = Promise.resolve();
    const options = { bytesMax: 16 * mebibyte, punchHole: (...range: Parameters<typeof punchHole>) => (punched = punchHole(...range)) };
    const runs = ['1', '2'].map((number) => ({ ...run, run: number }));
    const follow = (world: World): void => {
      for (const key of runs) world.shipper.follow({ key, path: path(key.run), format: 'raw' });
    };
    const write = (): void => {
      for (const key of runs) fs.appendFileSync(path(key.run), filler);
    };
    const world = new World(options);
    write();
    follow(world);
    world.connect();
    for (let round = 0; round < 16; round += 1) {
      write();
      world.drain();
      await punched;
    }
    world.shipper.close();
    // A power loss has left the new name, and no content.
    fs.writeFileSync(path('index/segments.json'), '');
    write();
    const next = new World(options, world.collector);
    follow(next);
    for (let second = 0; second < 5; second += 1) {
      next.clock.advance(1_000);
      await punched;
    }
    next.connect();
    next.drain();
    next.drain();
    expect(next.collector.gaps).toEqual([]);
    expect(runs.map((key) => next.collector.texts(key).length)).toEqual([18 * 8_192, 18 * 8_192]);
  }, 240_000);

  test('without a collector nothing is read, and only the last part of the files is kept', async () => {
    let punched: Promise<void> = Promise.resolve();
    const world = new World({ delivering: false, bytesMax: 8 * mebibyte, punchHole: (...range) => (punched = punchHole(...range)) });
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    for (let round = 0; round < 16; round += 1) {
      fs.appendFileSync(path('run'), filler);
      world.clock.advance(1_000);
      await punched;
    }
    expect(blocks('run')).toBeLessThan(10 * mebibyte);
    expect(world.shipper.lagBytes()).toBe(0);
  }, 240_000);

  describe('files of others, while the collector is away', () => {
    const file = { ...run, source: 'file:ray.log', run: 'f' };
    const foreign = { key: file, path: '', format: 'raw' } as const;
    const open = (): number | null => (fs.existsSync(path('ray.log')) ? fs.openSync(path('ray.log'), 'r') : null);
    const openFiles = (): number => openBelow(directory);

    test('they take nothing of the budget as long as their owner keeps them', async () => {
      const world = new World({ bytesMax: 4 * mebibyte, punchHole: () => Promise.resolve() });
      fs.writeFileSync(path('ray.log'), filler.repeat(8));
      fs.writeFileSync(path('run'), filler.repeat(3));
      world.shipper.follow({ ...foreign, path: path('ray.log'), foreign: { open } });
      world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
      for (let second = 0; second < 3; second += 1) {
        world.clock.advance(1_000);
        await Promise.resolve();
      }
      world.connect();
      world.drain();
      expect(world.collector.gaps).toEqual([]);
      expect([world.collector.texts(file).length, world.collector.texts(run).length]).toEqual([8 * 8_192, 3 * 8_192]);
    });

    test.each(['raw', 'json-file'] as const)(
      'over the budget those that only we keep are let go of, with a counted gap (%s)',
      async (format) => {
        const world = new World({ bytesMax: 4 * mebibyte, punchHole: () => Promise.resolve() });
        const key = format === 'raw' ? file : container;
        fs.writeFileSync(path('ray.log'), format === 'raw' ? filler.repeat(8) : entry('x'.repeat(1_000)).repeat(8_000));
        const { size } = fs.statSync(path('ray.log'));
        world.shipper.follow({ key, path: path('ray.log'), format, ...(format === 'raw' ? { foreign: { open } } : {}) });
        world.shipper.finish(key);
        expect(openFiles()).toBe(1);
        fs.rmSync(path('ray.log'));
        world.clock.advance(1_000);
        await Promise.resolve();
        expect(openFiles()).toBe(0);
        world.connect();
        world.drain();
        expect(world.collector.gaps.map(({ from, to, bytes, reason }) => [from, to, bytes, reason])).toEqual([
          [0, size, size, 'outbox-full'],
        ]);
        expect(world.shipper.segments()).toEqual([]);
      },
    );

    test('one that was let go of and is written to again goes on behind the gap', async () => {
      const world = new World({ bytesMax: 4 * mebibyte, punchHole: () => Promise.resolve() });
      fs.writeFileSync(path('ray.log'), filler.repeat(8));
      let there = true;
      world.shipper.follow({ ...foreign, path: path('ray.log'), foreign: { open: () => (there ? open() : null) } });
      world.shipper.finish(file);
      world.clock.advance(1_000);
      await Promise.resolve();
      expect(openFiles()).toBe(0);
      // What it was opened by then leads nowhere any more.
      there = false;
      fs.appendFileSync(path('ray.log'), 'again\n');
      world.shipper.follow({ ...foreign, path: path('ray.log'), foreign: { open } });
      world.connect();
      world.drain();
      expect(world.collector.gaps.map(({ bytes, reason }) => [reason, bytes])).toEqual([['outbox-full', 8 * mebibyte]]);
      expect(world.collector.texts(file)).toEqual(['again']);
    });
  });

  test('a file system that cannot do it is mentioned once, and everything goes on', async () => {
    const world = new World({ punchHole: () => Promise.reject(new HolesUnsupportedError('Operation not supported')) });
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    for (let round = 0; round < 12; round += 1) {
      fs.appendFileSync(path('run'), filler);
      world.drain();
      await Promise.resolve();
    }
    expect(world.collector.texts(run)).toHaveLength(12 * 8_192);
    expect(world.said).toHaveLength(1);
  });

  test('a file that cannot hold holes is told from a failure that may pass', async () => {
    const descriptor = fs.openSync('/proc/self/comm', 'r+');
    await expect(punchHole(descriptor, 0, 4_096)).rejects.toBeInstanceOf(HolesUnsupportedError);
    fs.closeSync(descriptor);
    fs.writeFileSync(path('read-only'), filler);
    const readOnly = fs.openSync(path('read-only'), 'r');
    const failure: unknown = await punchHole(readOnly, 0, -4_096).catch((error: unknown) => error);
    fs.closeSync(readOnly);
    expect(failure).toBeInstanceOf(Error);
    expect(failure).not.toBeInstanceOf(HolesUnsupportedError);
  });

  test('a failure to free is tried again, later and later; meanwhile files count with what they have on the disk', async () => {
    let fails = false;
    let tries = 0;
    let punched: Promise<void> = Promise.resolve();
    const world = new World({
      bytesMax: 17 * mebibyte,
      punchHole: (...range) => {
        tries += 1;
        punched = fails ? Promise.reject(new Error('fallocate ended with SIGKILL')) : punchHole(...range);
        return punched;
      },
    });
    fs.writeFileSync(path('run'), '');
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    const round = async (): Promise<void> => {
      fs.appendFileSync(path('run'), filler);
      world.drain();
      await punched.catch(() => undefined);
    };
    for (let index = 0; index < 30; index += 1) await round();
    const freed = tries;
    expect(freed).toBeGreaterThan(3);
    expect(world.said).toEqual([]);
    fails = true;
    // 3 s each: tries about 10, 20 and 40 s apart.
    for (let index = 0; index < 26; index += 1) {
      world.clock.advance(3_000);
      await punched.catch(() => undefined);
      if (index < 6) await round();
    }
    expect(tries - freed).toBeGreaterThanOrEqual(3);
    expect(tries - freed).toBeLessThanOrEqual(5);
    expect(world.said).toHaveLength(2);
    expect(world.said[0]).toContain('it is tried again');
    // Of 36 MiB nearly all is freed already: none of them is emptied for a budget of 17.
    expect(fs.statSync(path('run')).size).toBe(36 * mebibyte);
    fails = false;
    for (let index = 0; index < 30; index += 1) {
      world.clock.advance(3_000);
      await punched.catch(() => undefined);
    }
    for (let index = 0; index < 6; index += 1) await round();
    expect(blocks('run')).toBeLessThan(9 * mebibyte);
    expect(world.collector.texts(run)).toHaveLength(42 * 8_192);
    expect(world.collector.gaps).toEqual([]);
  }, 240_000);

  describe('where nothing can be freed', () => {
    const cannot = (): Promise<void> => Promise.reject(new HolesUnsupportedError('Operation not supported'));
    const line = (index: number): string => `line ${index} `.padEnd(127, '.');
    /** Numbered lines of 128 bytes, a MiB at once. */
    class Writer {
      written = 0;
      write(lines = 8_192): void {
        fs.appendFileSync(path('run'), Array.from({ length: lines }, () => `${line(this.written++)}\n`).join(''));
      }
    }
    const pass = async (world: World): Promise<void> => {
      world.clock.advance(1_000);
      await Promise.resolve();
    };

    test('without anybody who takes them, files are emptied when the budget is used up; what is lost is counted', async () => {
      const world = new World({ bytesMax: 8 * mebibyte, punchHole: cannot });
      fs.writeFileSync(path('run'), '');
      world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
      const writer = new Writer();
      let largest = 0;
      for (let round = 0; round < 40; round += 1) {
        writer.write();
        await pass(world);
        largest = Math.max(largest, fs.statSync(path('run')).size);
      }
      expect(largest).toBeLessThanOrEqual(10 * mebibyte);
      world.connect();
      world.drain();
      world.drain();
      const texts = world.collector.texts(run);
      const given = world.collector.gaps.filter(({ reason }) => reason === 'outbox-full').reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
      // Each emptying counts one byte for what it may have missed.
      expect(Math.abs(given + texts.length * 128 - writer.written * 128)).toBeLessThan(20);
      expect(texts.findIndex((text, index) => text !== line(writer.written - texts.length + index))).toBe(-1);
      // What may have been written in the moment of emptying.
      expect(world.collector.gaps.filter(({ bytes }) => bytes === undefined).length).toBeGreaterThan(0);
    });

    test('what is sent is not lost when its file is emptied, also over restarts of the agent', async () => {
      fs.writeFileSync(path('run'), '');
      const writer = new Writer();
      let world = new World({ bytesMax: 12 * mebibyte, punchHole: cannot });
      const follow = (): void => {
        world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
        world.connect();
      };
      follow();
      for (let round = 0; round < 24; round += 1) {
        writer.write();
        world.drain();
        await pass(world);
        if (round % 5 === 4) {
          writer.write(3);
          world = new World({ bytesMax: 12 * mebibyte, punchHole: cannot }, world.collector);
          follow();
        }
      }
      world.drain();
      world.drain();
      expect(fs.statSync(path('run')).size).toBeLessThan(12 * mebibyte);
      const numbers = world.collector.texts(run).map((text) => Number(/^line (\d+) /.exec(text)?.[1]));
      expect(numbers.findIndex((number, index) => number !== index)).toBe(-1);
      expect(numbers).toHaveLength(writer.written);
      expect(world.collector.gaps.every(({ bytes }) => bytes === undefined)).toBe(true);
    });

    test('files of runs that are over and sent go first', async () => {
      const world = new World({ bytesMax: 16 * mebibyte, punchHole: cannot });
      const other = { ...run, run: '0' };
      fs.writeFileSync(path('0'), filler);
      fs.writeFileSync(path('run'), '');
      for (const [key, name] of [
        [other, '0'],
        [run, 'run'],
      ] as const)
        world.shipper.follow({ key, path: path(name), format: 'raw' });
      world.connect();
      const writer = new Writer();
      for (let round = 0; round < 5; round += 1) {
        writer.write(8_192);
        world.drain();
        await pass(world);
      }
      world.shipper.finish(other);
      world.drain();
      writer.write(20_000);
      world.drain();
      await pass(world);
      expect(fs.existsSync(path('0'))).toBe(false);
      expect(fs.statSync(path('run')).size).toBe(writer.written * 128);
      expect(world.collector.texts(run)).toHaveLength(writer.written);
    });

    test('where it works again for the next agent, only what was sent of an emptied file is freed', async () => {
      const world = new World({ bytesMax: 8 * mebibyte, punchHole: cannot });
      fs.writeFileSync(path('run'), '');
      world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
      world.connect();
      const writer = new Writer();
      for (let round = 0; round < 12; round += 1) {
        writer.write();
        world.drain();
        await pass(world);
      }
      world.shipper.suspend();
      writer.write();
      world.tick();
      world.shipper.close();
      let punched: Promise<void> = Promise.resolve();
      const next = new World({ bytesMax: 8 * mebibyte, punchHole: (...range) => (punched = punchHole(...range)) }, world.collector);
      next.shipper.follow({ key: run, path: path('run'), format: 'raw' });
      for (let second = 0; second < 3; second += 1) {
        next.clock.advance(1_000);
        await punched;
      }
      next.connect();
      for (let round = 0; round < 8; round += 1) {
        writer.write();
        next.drain();
        await punched;
      }
      next.drain();
      expect(next.collector.gaps.filter(({ bytes }) => bytes !== undefined)).toEqual([]);
      expect(next.collector.texts(run)).toEqual(Array.from({ length: writer.written }, (_, index) => line(index)));
      expect(blocks('run')).toBeLessThan(6 * mebibyte);
    });

    test.each(['before', 'after'])('an agent that dies just %s the file is emptied knows', (when) => {
      fs.writeFileSync(path('run'), filler);
      const file = new FollowedFile({ path: path('run'), format: 'raw' }, []);
      file.refresh(0);
      const { end } = file;
      file.willEmpty();
      const saved = file.saved();
      if (when === 'after') {
        file.empty(true);
        fs.appendFileSync(path('run'), 'new\n');
      }
      file.close();
      const next = new FollowedFile({ path: path('run'), format: 'raw' }, saved);
      next.refresh(end);
      expect([next.begin, next.end]).toEqual(when === 'after' ? [end + 1, end + 5] : [0, end]);
      next.close();
    });
  });

  test.each(['the same agent', 'another agent', 'another agent without memory'])(
    'a collector that lost what it had last gets one counted gap for what was freed meanwhile, and every line behind it (%s)',
    async (who) => {
      const punched: Promise<void>[] = [];
      const options: Partial<FollowingShipperOptions> = {
        punchHole: (...range) => {
          const done = punchHole(...range);
          punched.push(done);
          return done;
        },
      };
      let world = new World(options);
      fs.writeFileSync(path('run'), '');
      world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
      world.connect();
      const line = (index: number): string => `line ${index} `.padEnd(99, '.');
      let written = 0;
      let lost = 0;
      for (let round = 0; round < 12; round += 1) {
        fs.appendFileSync(path('run'), Array.from({ length: 10_000 }, () => `${line(written++)}\n`).join(''));
        world.drain();
        world.drain();
        await Promise.all(punched);
        if (round === 0) lost = world.collector.committed.get(segmentId(run)) ?? 0;
      }
      expect(blocks('run')).toBeLessThan(8 * mebibyte);
      if (who !== 'the same agent') {
        world.shipper.close();
        if (who === 'another agent without memory') fs.rmSync(path('index/segments.json'));
        world = new World(options, world.collector);
        world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
      }
      const { collector } = world;
      const id = segmentId(run);
      collector.committed.set(id, lost);
      collector.lines.set(id, (collector.lines.get(id) ?? []).slice(0, lost / 100));
      world.connect();
      for (let round = 0; round < 3; round += 1) {
        world.drain();
        await Promise.all(punched);
      }
      fs.appendFileSync(path('run'), `${line(written++)}\n`);
      world.drain();
      const [gap] = collector.gaps;
      expect(collector.gaps.map(({ from, reason }) => [from, reason])).toEqual([[lost, 'freed']]);
      expect(gap?.bytes).toBe((gap?.to ?? 0) - lost);
      const texts = collector.texts(run);
      const first = Math.ceil((gap?.to ?? 0) / 100);
      const whole = texts.filter((text) => text.startsWith('line '));
      expect(whole).toEqual(
        Array.from({ length: written }, (_, index) => line(index)).filter((_, index) => index < lost / 100 || index >= first),
      );
      expect(texts.some((text) => text.includes('\0'))).toBe(false);
      // Without memory the rest of the line in which the hole ends is told as it stands.
      expect(texts.length - whole.length).toBe(who === 'another agent without memory' ? 1 : 0);
      expect(world.shipper.lagBytes()).toBe(0);
    },
    240_000,
  );

  test.each([1, 4_095, 4_096, 70_000, mebibyte, mebibyte + 1])(
    'so little as %i bytes of a hole in front are no NUL bytes of a line',
    (bytes) => {
      const hole = 2 * mebibyte;
      fs.writeFileSync(path('run'), Buffer.concat([Buffer.alloc(hole), Buffer.from('rest of a line\nnew\n')]));
      const world = new World();
      world.collector.committed.set(segmentId(run), hole - bytes);
      world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
      world.connect();
      world.drain();
      expect(world.collector.gaps.map(({ bytes: counted, reason }) => [reason, counted])).toEqual([['freed', bytes]]);
      expect(world.collector.texts(run)).toEqual(['rest of a line', 'new']);
    },
  );

  test('a collector that lost its data gets a gap for what was freed, and no NUL bytes', () => {
    fs.writeFileSync(path('run'), Buffer.concat([Buffer.alloc(300_000), Buffer.from('rest of a line\nnew\n')]));
    const world = new World();
    world.shipper.follow({ key: run, path: path('run'), format: 'raw' });
    world.connect();
    world.drain();
    expect(world.collector.gaps.map(({ bytes, reason }) => [reason, bytes])).toEqual([['freed', 300_000]]);
    expect(world.collector.texts(run)).toEqual(['rest of a line', 'new']);
  });
});
