import { expect, test } from 'vitest';
import { hostRecord } from '../../../../test/support/fleet-records.ts';
import { presentHost } from './present.ts';

test('every time is ISO-8601, also the one of the metrics', () => {
  const metrics = { at: Date.UTC(2026, 0, 2, 3, 4, 5, 6), load1: 1, disks: [] };
  expect(presentHost({ ...hostRecord('a'), metrics }).metrics).toEqual({ ...metrics, at: '2026-01-02T03:04:05.006Z' });
});
