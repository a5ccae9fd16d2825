import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { MetricsPage } from './metrics-page.ts';
import { metricsPieces, type MetricFamily } from './metrics-text.ts';

const family = (name: string, count: number): MetricFamily => ({
  name,
  help: `Of ${name}.`,
  type: 'gauge',
  samples: Array.from({ length: count }, (_, index) => ({ labels: { host: `h${index}` }, value: index / 4 })),
});

/** One line after the other, by hand. */
const byHand = (families: readonly MetricFamily[]): string =>
  families
    .flatMap(({ name, help, type, samples }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.map(({ labels, value }) => `${name}{host="${labels?.['host'] ?? ''}"} ${value}`),
    ])
    .map((line) => `${line}\n`)
    .join('');

test('pieces are whole lines, none is long, and together they are the page, wherever a family ends', () => {
  const families = [0, 1, 1_997, 1_998, 1_999, 2_000, 5_000].map((count) => family(`of_${count}`, count));
  const pieces = [...metricsPieces(families)];
  expect(pieces.join('')).toBe(byHand(families));
  for (const piece of pieces) expect(piece).toMatch(/^[^\n][^]*\n$/);
  expect(Math.max(...pieces.map((piece) => piece.split('\n').length - 1))).toBe(2_000);
});

test('a series that comes again in a later piece is left out', () => {
  const { samples, ...rest } = family('a', 3_000);
  expect([...metricsPieces([{ ...rest, samples: [...samples, ...samples] }])].join('')).toBe(byHand([{ ...rest, samples }]));
});

/** A fleet whose families take `eachMs` of work. */
function begin(count: number, eachMs: number) {
  const clock = new ManualClock();
  const turns: number[] = [];
  let [made, failing] = [0, false];
  const all = Array.from({ length: count }, (_, index) => family(`f${index}`, 1));
  function* families(): Generator<MetricFamily> {
    made += 1;
    for (const one of all) {
      clock.advance(eachMs);
      if (failing) throw new Error('the store is closed');
      yield one;
    }
  }
  const page = new MetricsPage({ clock, families, turn: async () => void turns.push(clock.monotonic()) });
  return { all, clock, page, turns, made: () => made, fail: (now: boolean) => void (failing = now) };
}

test('everything else has its turn at least every 10 ms of work', async () => {
  const { all, page, turns } = begin(10, 4);
  expect((await page.get()).toString()).toBe(byHand(all));
  expect(turns).toEqual([12, 24, 36]);
});

test('who asks while it is made, or for as long as that took, gets the same page; then it is made anew', async () => {
  const { clock, page, made } = begin(50, 8);
  const [one, other] = [page.get(), page.get()];
  expect(await one).toBe(await other);
  clock.advance(399);
  expect(await page.get()).toBe(await one);
  expect(made()).toBe(1);
  clock.advance(1);
  expect(await page.get()).not.toBe(await one);
  expect(made()).toBe(2);
});

test('nobody gets one that is older than a second, however long it took', async () => {
  const { clock, page, made } = begin(500, 8);
  await page.get();
  clock.advance(1_000);
  await page.get();
  expect(made()).toBe(2);
});

test('what is made in no time is made for everybody who asks', async () => {
  const { clock, page, made } = begin(3, 4);
  await page.get();
  await page.get();
  expect([made(), clock.pendingTimers]).toEqual([2, 0]);
});

test('a failure is told to those who waited, and to nobody else', async () => {
  const { page, fail } = begin(50, 8);
  fail(true);
  await expect(Promise.all([page.get(), page.get()])).rejects.toThrow('the store is closed');
  fail(false);
  expect((await page.get()).length).toBeGreaterThan(0);
});
