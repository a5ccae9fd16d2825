import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import type { Engine, ExecResult } from '../engine/engine.ts';
import { MountProbes } from './mount.ts';
import { type DesiredProbe, Prober } from './prober.ts';

/** An engine whose commands end when the test says so. */
function bench() {
  const clock = new ManualClock();
  const asked: { at: number; answer: (exitCode: number) => Promise<void> }[] = [];
  const results: { key: string; ok: boolean }[] = [];
  const engine = {
    exec: () =>
      new Promise<ExecResult>((resolve) => {
        asked.push({
          at: clock.monotonic(),
          answer: async (exitCode) => {
            resolve({ exitCode, stdout: '', stderr: '' });
            await settle();
          },
        });
      }),
  } as unknown as Engine;
  const prober = new Prober({
    engine,
    clock,
    mounts: new MountProbes({ clock }),
    shell: () => ['sh', '-c'],
    onResult: (key, _, result) => void results.push({ key, ok: 'ok' in result && result.ok }),
  });
  return { clock, asked, results, prober, advance: (ms: number) => (clock.advance(ms), settle()) };
}
const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const probe = (kind: 'ready' | 'live', intervalMs: number, containerId = 'c1'): DesiredProbe => {
  const spec = { name: 'x', probe: { kind: 'exec' as const, run: { text: 'true' } }, intervalMs, timeoutMs: 1_000 };
  const where = { key: `${kind}/x`, containerId, containerPid: 1, vars: {} };
  return kind === 'ready' ? { ...where, kind, spec } : { ...where, kind, spec: { ...spec, failures: 3, restarts: 'process' } };
};

it('asks a readiness check at once, then after 25, 50, 100 ms, up to its interval', async () => {
  const { asked, prober, advance } = bench();
  prober.set([probe('ready', 150)]);
  for (let i = 0; i < 6; i += 1) {
    for (let ms = 0; ms <= 150 && asked.length === i; ms += 1) await advance(ms === 0 ? 0 : 1);
    await asked[i]?.answer(1);
  }
  expect(asked.slice(1).map(({ at }, i) => at - (asked[i]?.at ?? 0))).toEqual([25, 50, 100, 150, 150]);
});

it('never asks twice at once, and counts the interval from question to question', async () => {
  const { asked, prober, advance, results } = bench();
  prober.set([probe('live', 100)]);
  await advance(99);
  expect(asked).toHaveLength(0);
  await advance(1);
  await advance(500);
  expect(asked).toHaveLength(1);
  await asked[0]?.answer(0);
  await advance(24);
  expect(asked).toHaveLength(1);
  await advance(1);
  expect(asked).toHaveLength(2);
  await advance(40);
  await asked[1]?.answer(0);
  await advance(59);
  expect(asked).toHaveLength(2);
  await advance(1);
  expect(asked).toHaveLength(3);
  expect(results).toEqual([
    { key: 'live/x', ok: true },
    { key: 'live/x', ok: true },
  ]);
});

it('asks at once on demand, and once more when an answer was under way', async () => {
  const { asked, prober, advance } = bench();
  prober.set([probe('live', 10_000)]);
  prober.now('live/x');
  prober.now('live/absent');
  await advance(0);
  expect(asked).toHaveLength(1);
  prober.now('live/x');
  prober.now('live/x');
  await advance(0);
  expect(asked).toHaveLength(1);
  await asked[0]?.answer(0);
  await advance(0);
  expect(asked).toHaveLength(2);
  await asked[1]?.answer(0);
  await advance(5_000);
  expect(asked).toHaveLength(2);
});

it('keeps the rhythm of what is the same, and forgets the answers of what is not wanted any more', async () => {
  const { clock, asked, results, prober, advance } = bench();
  prober.set([probe('live', 100)]);
  await advance(60);
  prober.set([probe('live', 100)]);
  await advance(40);
  expect(asked).toHaveLength(1);
  prober.set([probe('live', 100, 'c2')]);
  await asked[0]?.answer(0);
  expect(results).toEqual([]);
  await advance(100);
  expect(asked).toHaveLength(2);
  prober.dispose();
  await asked[1]?.answer(0);
  expect(results).toEqual([]);
  expect(clock.pendingTimers).toBe(0);
});
