import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { mountsBelow, unmountBelow } from './mounts.ts';
import { ownedDirectory, removeAbandonedDirectories } from './owned-directory.ts';
import { startTicks } from './processes.ts';

test('what belongs to a process that is gone is removed; what lives, and what is nobody’s, stays', () => {
  const mine = ownedDirectory('owned-');
  const given = (name: string, owner: string | null): string => {
    const directory = join(tmpdir(), name);
    mkdirSync(directory);
    if (owner !== null) writeFileSync(join(directory, 'owner'), owner);
    return directory;
  };
  const gone = given('owned-gone', `${2 ** 22 + 1} 17`);
  const reused = given('owned-reused', `${process.pid} ${(startTicks(process.pid) ?? 0) + 1}`);
  const stay = [given('owned-by-nobody', null), given('owned-unfinished', ''), given('other-gone', `${2 ** 22 + 1} 17`), mine];
  removeAbandonedDirectories('owned-');
  expect([gone, reused].filter(existsSync)).toEqual([]);
  expect(stay.filter(existsSync)).toEqual(stay);
});

test.runIf(process.getuid?.() === 0)('a disk that is still mounted there goes first', () => {
  const gone = join(tmpdir(), 'mounted-gone');
  const disk = join(gone, 'a disk');
  mkdirSync(disk, { recursive: true });
  writeFileSync(join(gone, 'owner'), `${2 ** 22 + 1} 17`);
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', disk]);
  onTestFinished(() => unmountBelow(gone));
  writeFileSync(join(disk, 'file'), '');
  removeAbandonedDirectories('mounted-');
  expect([existsSync(gone), mountsBelow(gone)]).toEqual([false, []]);
});
