import type { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { diskMetrics } from './disk-metrics.ts';

const values = (dataDir: string, stat?: typeof statfsSync): readonly (number | undefined)[] =>
  diskMetrics(dataDir, stat).map(({ samples }) => samples[0]?.value);

test('size and what is free for others than root, in bytes', () => {
  const stat = (() => ({ blocks: 1_000, bfree: 300, bavail: 250, bsize: 4_096 })) as unknown as typeof statfsSync;
  expect(values('/data', stat)).toEqual([4_096_000, 1_024_000]);
});

test('a real one, and a directory that is gone', () => {
  const [size = 0, free = 0] = values(tmpdir());
  expect(size).toBeGreaterThan(free);
  expect(free).toBeGreaterThan(0);
  expect(values('/does/not/exist')).toEqual([undefined, undefined]);
});
