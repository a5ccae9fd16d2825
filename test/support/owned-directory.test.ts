import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
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
