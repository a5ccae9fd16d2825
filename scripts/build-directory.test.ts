import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildDirectory } from './build-directory.ts';

test('what an interrupted build has left goes with the next one; builds that run, and what is built, stay', async () => {
  const dist = join(mkdtempSync(join(tmpdir(), 'relight-dist-')), 'dist');
  const own = await buildDirectory(dist);
  const [interrupted, old] = ['.build-4194305-a1B2c3', '.build-a1B2c3'].map((name) => join(dist, name));
  for (const left of [interrupted, old]) {
    mkdirSync(left ?? '');
    writeFileSync(join(left ?? '', 'relight.mjs'), 'half');
  }
  writeFileSync(join(dist, 'relight.mjs'), 'whole');
  const next = await buildDirectory(dist);
  expect([own, next, join(dist, 'relight.mjs')].filter(existsSync)).toHaveLength(3);
  expect(readdirSync(dist)).toHaveLength(3);
});
