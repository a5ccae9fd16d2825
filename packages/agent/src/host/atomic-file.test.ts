import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parsedOrSetAside, readSwapped, replaceFile, replaceFileDurably, swapFile, temporarySuffix } from './atomic-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-atomic-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

describe.each([replaceFile, replaceFileDurably, swapFile])('%o', (write) => {
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

describe('swapFile', () => {
  it('is whole at every moment for readSwapped, wherever the writer was killed', () => {
    const file = join(directory, 'state.json');
    expect(readSwapped(file)).toBeNull();
    swapFile(file, 'first');
    expect(readSwapped(file)?.toString()).toBe('first');
    // Killed while it wrote the new one.
    writeFileSync(file + temporarySuffix, 'sec');
    expect(readSwapped(file)?.toString()).toBe('first');
    // Killed between the two names.
    writeFileSync(file + temporarySuffix, 'second');
    rmSync(file);
    expect(readSwapped(file)?.toString()).toBe('second');
    swapFile(file, 'third');
    expect(readSwapped(file)?.toString()).toBe('third');
    expect(readdirSync(directory)).toEqual(['state.json']);
  });
});

describe('parsedOrSetAside', () => {
  it('gives what can be read, and sets aside what cannot, also in the middle of a swap', () => {
    const file = join(directory, 'state.json');
    const parse = (): unknown => parsedOrSetAside(file, readSwapped(file) ?? Buffer.alloc(0), JSON.parse);
    swapFile(file, '{"a":1}');
    expect(parse()).toEqual({ a: 1 });
    swapFile(file, '{"a":');
    expect(parse()).toBeNull();
    expect(readdirSync(directory)).toEqual(['state.json.unreadable']);
    writeFileSync(file + temporarySuffix, 'nor this');
    expect(parse()).toBeNull();
    expect(readdirSync(directory)).toEqual(['state.json.unreadable']);
    expect(readFileSync(`${file}.unreadable`, 'utf8')).toBe('nor this');
  });
});
