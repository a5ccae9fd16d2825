import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceFile, replaceFileDurably } from './atomic-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-atomic-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

describe.each([replaceFile, replaceFileDurably])('%o', (write) => {
  it('replaces what is there, for the owner alone, and leaves nothing beside it', () => {
    const file = join(directory, 'state.json');
    writeFileSync(file, 'old, and longer than the new one');
    chmodSync(file, 0o644);
    write(file, 'new');
    expect(readFileSync(file, 'utf8')).toBe('new');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(['state.json']);
  });

  it('leaves nothing behind when the new content cannot take its place', () => {
    const taken = join(directory, 'taken');
    mkdirSync(join(taken, 'inner'), { recursive: true });
    expect(() => write(taken, 'new')).toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readdirSync(directory)).toEqual(['taken']);
  });
});
