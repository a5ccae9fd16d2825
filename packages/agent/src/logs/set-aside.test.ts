import fc from 'fast-check';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { segmentId, type SegmentKey } from '@relight/shared/log-stream';
import { ManualClock } from '@relight/shared/manual-clock';
import type { Gap } from '@relight/shared/protocol';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ModelCollector } from '../../../../test/support/model-collector.ts';
import { openBelow } from '../../../../test/support/open-descriptors.ts';
import { FollowingShipper } from './following-shipper.ts';

let root = '';
beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'relight-aside-'));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

const key = (n: number): SegmentKey => ({ workload: 'w', generation: 1, source: 'process', run: String(n) });
const pathOf = (n: number): string => join(root, 'runs', `${n}.process.log`);

/** A collector behind a connection that can be cut, and an agent of whose ended runs three are held open. */
function world() {
  fs.mkdirSync(join(root, 'runs'), { recursive: true });
  const clock = new ManualClock();
  const collector = new ModelCollector();
  const gaps: Gap[] = [];
  const said: string[] = [];
  const say = (_data: unknown, text: string): void => void said.push(text);
  const logger = { info: say, warn: say, error: say } as never;
  const directory = join(root, 'logs');
  const shipper = new FollowingShipper({ directory, clock, logger, delivering: true, rateLimit: () => null, heldMax: 3 });
  const follow = (n: number): void => shipper.follow({ key: key(n), path: pathOf(n), format: 'raw' });
  return {
    clock,
    collector,
    gaps,
    said,
    shipper,
    follow,
    run: (n: number, text: string): void => {
      fs.writeFileSync(pathOf(n), text);
      follow(n);
      shipper.finish(key(n));
    },
    connect: (): void =>
      shipper.resume(shipper.segments().map((segment) => ({ segment, offset: collector.committed.get(segmentId(segment)) ?? 0 }))),
    /** `acknowledged` false: the collector has it, but the answer is lost. */
    send: (acknowledged = true, framesMax = Infinity): void => {
      for (let frames = 0; frames < framesMax; frames += 1) {
        const frame = shipper.nextFrame();
        if (frame === null) return;
        if (frame.kind === 'gap') gaps.push(frame.gap);
        const { segments } = frame.kind === 'block' ? collector.takeBlock(frame.block) : collector.takeGap(frame.gap);
        if (acknowledged) for (const { segment, offset, rewind } of segments) shipper.committed(segment, offset, rewind);
      }
    },
  };
}

it('of runs that end while the collector is away so many are held open; it gets all of them, with the times of their lines', () => {
  const { clock, collector, shipper, run, connect, send, follow } = world();
  const began = clock.now();
  // One that lives on is no matter of this.
  fs.writeFileSync(pathOf(100), '');
  follow(100);
  for (let n = 1; n <= 20; n += 1) {
    run(n, `line of ${n}\n`);
    const later = began + 3_600_000;
    fs.utimesSync(pathOf(n), later / 1_000, later / 1_000);
    clock.advance(1_000);
    expect(openBelow(join(root, 'runs'))).toBeLessThanOrEqual(4);
  }
  expect(shipper.lagBytes()).toBe(9 * 10 + 11 * 11);
  connect();
  for (let looks = 0; looks < 8; looks += 1) {
    send();
    clock.advance(1_000);
    expect(openBelow(join(root, 'runs'))).toBeLessThanOrEqual(4);
  }
  expect(shipper.lagBytes()).toBe(0);
  expect(shipper.segments()).toEqual([key(100)]);
  for (let n = 1; n <= 20; n += 1) expect(collector.texts(key(n))).toEqual([`line of ${n}`]);
  const times = [...collector.lines.values()].flat().map(({ at }) => at - began);
  expect(Math.max(...times)).toBeLessThanOrEqual(20_000);
  clock.advance(120_000);
  // Of what is delivered the newest stays, as ever.
  expect(fs.readdirSync(join(root, 'runs')).toSorted()).toEqual(['100.process.log', '20.process.log']);
  shipper.close();
});

it('one that is gone by then is told as a gap', () => {
  const { clock, collector, gaps, said, shipper, run, connect, send } = world();
  for (let n = 1; n <= 6; n += 1) run(n, n === 6 ? '' : 'line\n');
  clock.advance(1_000);
  fs.rmSync(pathOf(5));
  fs.rmSync(pathOf(6));
  connect();
  for (let looks = 0; looks < 5; looks += 1) {
    send();
    clock.advance(1_000);
  }
  expect(gaps).toMatchObject([{ segment: key(5), reason: 'unreadable' }]);
  expect(said).toEqual(['a log file could not be read to its end; a gap tells of it']);
  expect(collector.texts(key(4))).toEqual(['line']);
  expect(shipper.segments()).toEqual([]);
  shipper.close();
});

it('one that is followed again meanwhile, for its run lives, is not taken for ended', () => {
  const { clock, collector, shipper, run, connect, send, follow } = world();
  for (let n = 1; n <= 6; n += 1) run(n, 'line\n');
  clock.advance(1_000);
  follow(6);
  connect();
  for (let looks = 0; looks < 5; looks += 1) {
    send();
    clock.advance(1_000);
  }
  fs.appendFileSync(pathOf(6), 'another\n');
  clock.advance(1_000);
  clock.advance(2_000);
  send();
  expect(collector.texts(key(6))).toEqual(['line', 'another']);
  expect(shipper.segments()).toEqual([key(6)]);
  shipper.close();
});

it('whatever comes between, each line arrives once', () => {
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('run' as const),
        text: fc.constantFrom('', 'a\n', 'a\nb\n', 'no end', 'x\n'.repeat(40_000)),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('again' as const), back: fc.integer({ min: 0, max: 8 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(100, 1_000, 3_000) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('send' as const), acknowledged: fc.boolean(), frames: fc.integer({ min: 1, max: 5 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('connect' as const, 'cut' as const, 'flush' as const) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      fs.rmSync(join(root, 'runs'), { recursive: true, force: true });
      fs.rmSync(join(root, 'logs'), { recursive: true, force: true });
      const { clock, collector, gaps, shipper, run, connect, send, follow } = world();
      const written: string[] = [];
      for (const does of steps) {
        if (does.kind === 'run') {
          written.push(does.text);
          run(written.length, does.text);
        } else if (does.kind === 'again') {
          const n = written.length - does.back;
          if (n < 1 || !fs.existsSync(pathOf(n)) || !/\n$|^$/.test(written[n - 1] ?? '')) continue;
          follow(n);
          fs.appendFileSync(pathOf(n), 'more\n');
          written[n - 1] += 'more\n';
          shipper.finish(key(n));
        } else if (does.kind === 'wait') clock.advance(does.ms);
        else if (does.kind === 'send') send(does.acknowledged, does.frames);
        else if (does.kind === 'connect') connect();
        else if (does.kind === 'flush') shipper.flush();
        else shipper.suspend();
      }
      shipper.suspend();
      connect();
      for (let looks = 0; looks < 60; looks += 1) {
        clock.advance(1_000);
        send();
      }
      expect(shipper.lagBytes()).toBe(0);
      shipper.close();
      expect(gaps).toEqual([]);
      for (const [index, text] of written.entries()) {
        expect(collector.texts(key(index + 1)).join('\n')).toBe(text.replace(/\n$/, ''));
      }
    }),
    { numRuns: 40 },
  );
}, 600_000);
