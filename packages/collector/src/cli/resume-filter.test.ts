import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ApiLogLine } from '@relight/shared/api';
import { firstTime, resumeFilter } from './resume-filter.ts';

const line = (run: string, offset: number): ApiLogLine => ({
  at: '2026-01-01T00:00:00.000Z',
  receivedAt: '2026-01-01T00:00:00.000Z',
  host: 'h',
  workload: 'w',
  generation: 1,
  source: 'process',
  stream: 'stdout',
  run,
  offset,
  line: 'x',
});

test('every line once, wherever connections break and however far back the server begins again', () => {
  const log = Array.from({ length: 30 }, (_, i) => line(i % 3 === 0 ? 'a' : 'b', i * 10));
  fc.assert(
    fc.property(
      fc.array(fc.record({ sent: fc.integer({ min: 0, max: 10 }), back: fc.integer({ min: 0, max: 12 }) }), { maxLength: 8 }),
      (breaks) => {
        const fresh = resumeFilter();
        const shown: ApiLogLine[] = [];
        let at = 0;
        const send = (from: number, to: number, resumed: boolean): void => {
          shown.push(...log.slice(from, to).filter((entry) => fresh(entry, resumed)));
        };
        let resumed = false;
        for (const { sent, back } of breaks) {
          send(at, at + sent, resumed);
          at = Math.max(0, Math.min(log.length, at + sent) - back);
          resumed = true;
        }
        send(at, log.length, resumed);
        expect(shown).toEqual(log);
      },
    ),
  );
});

test('a gap counts like a line', () => {
  const fresh = resumeFilter();
  const { host, workload, generation, source, run, receivedAt } = line('a', 0);
  const gap = { host, workload, generation, source, run, receivedAt, gap: { from: 20, to: 50, reason: 'rotated' } };
  expect([fresh(gap, false), fresh(gap, true), fresh(line('a', 10), true), fresh(line('a', 50), true)]).toEqual([true, false, false, true]);
});

test('events: each id once, in whatever order they come', () => {
  const fresh = firstTime();
  expect(['2', '1', '2', '3', '1'].map(fresh)).toEqual([true, true, false, true, false]);
  expect(Array.from({ length: 50_000 }, (_, i) => fresh(`x${i}`)).every(Boolean)).toBe(true);
  expect(fresh('x49999')).toBe(false);
});
