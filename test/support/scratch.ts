/** Unit tests write below a temporary directory of their file's own, which is gone with the file: none leaves anything behind. */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll } from 'vitest';
import { ownedDirectory } from './owned-directory.ts';

const machines = tmpdir();
const scratch = ownedDirectory('relight-unit-');
process.env['TMPDIR'] = scratch;
afterAll(() => {
  process.env['TMPDIR'] = machines;
  // A child that a test has killed may make a last file meanwhile.
  rmSync(scratch, { recursive: true, force: true, maxRetries: 10 });
});
