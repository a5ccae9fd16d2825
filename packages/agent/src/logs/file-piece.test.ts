import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openBelow } from '../../../../test/support/open-descriptors.ts';
import { piecesOf } from './file-piece.ts';

let directory = '';
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'relight-pieces-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

test('when one of several cannot be read, none of them stays open', () => {
  for (const name of ['one', 'three']) fs.writeFileSync(join(directory, name), name);
  // A directory opens, and is no file.
  fs.mkdirSync(join(directory, 'two'));
  const open = (): number[] => ['one', 'two', 'three'].map((name) => fs.openSync(join(directory, name), 'r'));
  expect(() => piecesOf(open(), 'a log')).toThrow('a log is not a regular file');
  expect(openBelow(directory)).toBe(0);
});
