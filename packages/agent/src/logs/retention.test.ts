import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Retention } from './retention.ts';
import { SegmentTail } from './segment-tail.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'relight-retention-'));
});
afterEach(() => rmSync(root, { recursive: true }));

it('follows no link that a container has put where a log was', () => {
  const key = { workload: 'w', generation: 1, source: 'process', run: '1' };
  const [path, elsewhere] = [join(root, '1.process.log'), join(root, 'elsewhere')];
  writeFileSync(path, 'x'.repeat(8_192));
  writeFileSync(elsewhere, 'x'.repeat(65_536));
  const retention = new Retention(1);
  retention.add(new SegmentTail({ key, path, format: 'raw' }, undefined, null, (bytes) => bytes), 1, 0);
  expect(retention.bytes).toBe(8_192);
  rmSync(path);
  symlinkSync(elsewhere, path);
  expect(retention.bytes).toBeLessThan(8_192);
});
