/** An upgrade of the collector's store on a disk that has no room for the copy that it makes first. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeSchema3, rowsOf } from '@relight/collector/store/older-store.test-data';
import { openStore } from '@relight/collector/store/sqlite-store';
import { systemClock } from '@relight/shared/clock';
import { afterEach, beforeEach, expect, it } from 'vitest';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-upgrade-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=700', 'relight-upgrade', dataDir]);
});
afterEach(() => {
  execFileSync('umount', [dataDir]);
  rmSync(dataDir, { recursive: true });
});

const resize = (bytes: number): void => void execFileSync('mount', ['-o', `remount,size=${bytes}`, dataDir]);

it('refuses with the reason and what is needed, changes nothing, and goes on when there is room', async () => {
  const before = makeSchema3(dataDir, 6_000);
  const { blocks, bavail, bsize } = statfsSync(dataDir);
  // Less than the database takes once more.
  resize((blocks - bavail) * bsize + 4 * 1024 ** 2);
  await expect(openStore({ dataDir, clock: systemClock })).rejects.toMatchObject({
    code: 'store-failed',
    message: expect.stringMatching(/is not brought from schema 3 to 4, because it cannot be copied beforehand: ENOSPC/),
    advice: expect.stringMatching(/Nothing was changed.* Make at least [\d.]+ MiB free on the disk of /),
  });
  expect(readdirSync(dataDir).filter((name) => name.includes('.before-'))).toEqual([]);
  expect(rowsOf(dataDir)).toEqual(before);

  resize(64 * 1024 ** 2);
  const store = await openStore({ dataDir, clock: systemClock });
  expect(store.events({ limit: 10_000 })).toHaveLength(6_001);
  await store.close();
  expect(readdirSync(dataDir)).toContain('relight.db.before-4');
});
