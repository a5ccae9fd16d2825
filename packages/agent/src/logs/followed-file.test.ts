import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openBelow } from '../../../../test/support/open-descriptors.ts';
import { FollowedFile } from './followed-file.ts';

let directory: string;
let path: string;
let file: FollowedFile;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'followed-file-'));
  path = join(directory, 'c.log');
  file = new FollowedFile({ path, format: 'json-file' }, []);
});
afterEach(() => {
  file.close();
  fs.rmSync(directory, { recursive: true });
});

/** As the engine does with `compress`, which is faster than a look at the file. */
function rotateCompressed(content = fs.readFileSync(path)): void {
  fs.renameSync(path, `${path}.1`);
  fs.writeFileSync(`${path}.1.gz`, gzipSync(content));
  fs.rmSync(`${path}.1`);
}

describe('rotated and compressed between two looks', () => {
  it('what was written to the old file last is read, and the new one follows without a hole', () => {
    fs.writeFileSync(path, `first ${'x'.repeat(10_000)}\n`);
    file.refresh(0);
    fs.appendFileSync(path, 'last\n');
    const { size } = fs.statSync(path);
    rotateCompressed();
    fs.writeFileSync(path, 'new\n');
    file.refresh(0);
    expect(file.read(size - 5, 5).toString()).toBe('last\n');
    expect(file.holeAt(size)).toBeNull();
    expect(file.read(size, 100).toString()).toBe('new\n');
  });

  it('more than once: a hole of unknown size', () => {
    fs.writeFileSync(path, 'first\n');
    file.refresh(0);
    rotateCompressed(Buffer.from('something that came in between\n'));
    fs.writeFileSync(path, 'new\n');
    file.refresh(0);
    expect(file.holeAt(6)).toEqual({ to: 7, measured: false });
    expect(file.read(7, 100).toString()).toBe('new\n');
  });
});

describe('a look that fails leaves no descriptor open that nobody knows', () => {
  /** Of this process, on files of the test. */
  const descriptors = (): number => openBelow(directory);
  /** ELOOP, whoever asks: root may open what others may not. */
  const lock = (): void => fs.symlinkSync(path, path);

  it('of a file that opens and cannot be read', () => {
    fs.writeFileSync(path, 'first\n');
    const unreadable = new FollowedFile({ path, format: 'raw', foreign: { open: () => fs.openSync(path, 'a') } }, []);
    expect(() => unreadable.refresh(0)).toThrow('EBADF');
    expect(descriptors()).toBe(0);
  });

  it('of older files, when the newest of those that are found cannot be opened', () => {
    fs.writeFileSync(`${path}.2`, 'first\n');
    fs.writeFileSync(`${path}.1`, 'second\n');
    lock();
    expect(() => file.refresh(0)).toThrow('ELOOP');
    expect(descriptors()).toBe(0);
    fs.rmSync(path);
    fs.writeFileSync(path, 'third\n');
    file.refresh(0);
    expect(file.read(13, 100).toString()).toBe('third\n');
    expect(descriptors()).toBe(3);
  });

  it('of files that came by rotation, when the newest of them cannot be opened', () => {
    fs.writeFileSync(path, 'first\n');
    file.refresh(0);
    fs.renameSync(path, `${path}.2`);
    fs.writeFileSync(`${path}.1`, 'second\n');
    lock();
    expect(() => file.refresh(0)).toThrow('ELOOP');
    expect(descriptors()).toBe(1);
    fs.rmSync(path);
    fs.writeFileSync(path, 'third\n');
    file.refresh(0);
    expect(file.read(13, 100).toString()).toBe('third\n');
    expect(descriptors()).toBe(3);
  });

  it('nor one of the same file under another name', () => {
    fs.writeFileSync(path, 'first\n');
    file.refresh(0);
    fs.renameSync(path, `${path}.2`);
    fs.linkSync(`${path}.2`, `${path}.1`);
    fs.writeFileSync(path, 'second\n');
    file.refresh(0);
    expect(file.read(6, 100).toString()).toBe('second\n');
    expect(descriptors()).toBe(2);
  });
});

it('what the collector has decides also where the file has no name any more: it is read by what it was opened with', () => {
  fs.writeFileSync(path, 'new\n');
  file = new FollowedFile({ path, format: 'json-file' }, [{ inode: 1, base: 0, headBytes: 5, headCrc: 7 }]);
  file.refresh(100);
  expect(file.holeAt(100)).toEqual({ to: 101, measured: false });
  fs.rmSync(path);
  file.settle(500);
  expect(file.holeAt(500)).toEqual({ to: 501, measured: false });
  expect(file.read(501, 100).toString()).toBe('new\n');
});
