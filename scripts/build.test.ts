import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { programs } from '../test/support/lab.ts';
import { asciiOnly } from './build.ts';

test.each(Object.entries(programs))('the text of %s takes one byte a character in memory', (_, file) => {
  expect(readFileSync(file).findIndex((byte) => byte > 0x7f)).toBe(-1);
});

test.each(Object.entries(programs))(
  '%s carries of zod what it uses: import * as z, not { z }, which is all of it and 4 MB of memory',
  (_, file) => {
    expect(readFileSync(file, 'latin1')).not.toContain('fromJSONSchema');
  },
);

test('a text of ASCII alone means the same', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'relight-ascii-')), 'program.mjs');
  const code = "process.stdout.write(JSON.stringify([/[°😀]/u.exec('x😀')?.[0], '\\n°', `${'·'}😀`]));";
  const escaped = asciiOnly(code);
  expect(escaped).toMatch(/^[\x20-\x7e]+$/);
  writeFileSync(file, escaped);
  const { stdout } = await promisify(execFile)(process.execPath, [file]);
  expect(JSON.parse(stdout)).toEqual(['😀', '\n°', '·😀']);
});
