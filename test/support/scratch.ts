/** Unit tests write below a temporary directory of their file's own, which is gone with the file: none leaves anything behind. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const machines = tmpdir();
const scratch = mkdtempSync(join(machines, 'relight-unit-'));
process.env['TMPDIR'] = scratch;
afterAll(() => {
  process.env['TMPDIR'] = machines;
  rmSync(scratch, { recursive: true, force: true });
});
