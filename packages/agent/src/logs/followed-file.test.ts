import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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
