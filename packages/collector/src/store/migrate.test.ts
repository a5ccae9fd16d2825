/** A data directory of an earlier version, opened by this one; and one of a later version, refused. */
import { ManualClock } from '@relight/shared/manual-clock';
import SqliteDatabase from 'better-sqlite3';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { databasePath, openForReading, openForWriting } from './database.ts';
import { migrate, migrations, schemaVersion } from './migrate.ts';
import { copyBeforeMigration } from './migration-copy.ts';
import { makeSchema3, rowsOf } from './older-store.test-data.ts';
import { openStore } from './sqlite-store.ts';
import { verifyStore } from './verify.ts';

const clock = new ManualClock();
const newest = migrations.length;
let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-migrate-'));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

const upgrade = async (): Promise<void> => (await openStore({ dataDir, clock })).close();
function versionOf(file: string): number {
  const db = new SqliteDatabase(file, { readonly: true });
  try {
    return schemaVersion(db);
  } finally {
    db.close();
  }
}

describe('a data directory of schema 3', () => {
  it('has every row after the upgrade, and a whole copy of what it was before', async () => {
    const before = makeSchema3(dataDir);
    const { migrations: _, sqlite_sequence: __, ...tables } = before;
    expect(Object.entries(tables).filter(([, rows]) => rows.length === 0)).toEqual([]);
    await upgrade();
    expect(versionOf(databasePath(dataDir))).toBe(newest);
    const after = rowsOf(dataDir);
    for (const [name, rows] of Object.entries(tables)) expect(after[name]).toEqual(rows.map((row) => expect.objectContaining(row)));
    expect([...verifyStore(dataDir)].flatMap(({ problems }) => problems)).toEqual([]);

    const copy = `${databasePath(dataDir)}.before-4`;
    expect(versionOf(copy)).toBe(3);
    expect(statSync(copy).mode & 0o777).toBe(0o600);
    const old = mkdtempSync(join(tmpdir(), 'relight-migrate-old-'));
    renameSync(copy, databasePath(old));
    expect(rowsOf(old)).toEqual(before);
    rmSync(old, { recursive: true });
  });

  it('is read and written as one of this version: whoever was an operator may do everything', async () => {
    makeSchema3(dataDir);
    const store = await openStore({ dataDir, clock });
    try {
      const told = store.tokens().map(({ id, kind, role, host, revokedAt }) => ({ id, kind, role, host, revokedAt }));
      expect(told.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual([
        { id: 'ag', kind: 'agent', role: null, host: 'h', revokedAt: 9 },
        { id: 'op', kind: 'operator', role: 'admin', host: null, revokedAt: null },
      ]);
      expect(store.lastEventSeq('agent-0001', 'epoch-1')).toBe(1);
      expect(store.fencedAgents()).toEqual([{ host: 'h', agent: 'agent-0000' }]);
      expect(store.events({ limit: 10 })).toMatchObject([{ id: 1, message: 'it ended', data: { exitCode: 1 } }]);
      const event = { seq: 2, at: 6, kind: 'process.started', severity: 'info', message: 'it began', data: {} } as const;
      expect(await store.commitEvents('agent-0001', 'h', 'epoch-1', [event], 7)).toMatchObject({ seq: 2, stored: [{ id: 2 }] });
      expect(await store.createToken('join', null, { usesLeft: 1 })).toHaveProperty('token');
    } finally {
      await store.close();
    }
  });

  it('is as before when the upgrade is killed in its middle, and the next start does it', async () => {
    const before = makeSchema3(dataDir);
    const victim = spawnSync(process.execPath, [join(import.meta.dirname, 'crash-migrate.ts'), dataDir], { encoding: 'utf8' });
    expect(victim).toMatchObject({ signal: 'SIGKILL' });
    expect(rowsOf(dataDir)).toEqual(before);
    await upgrade();
    expect(versionOf(databasePath(dataDir))).toBe(newest);
    expect(rowsOf(dataDir)['events']).toEqual(before['events']);
  });

  it('is as before when the disk has no room for the copy; the reason says how much it takes', () => {
    const before = makeSchema3(dataDir);
    const db = openForWriting(dataDir);
    const full = (_from: unknown, to: unknown): never => {
      writeFileSync(String(to), 'a part');
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    };
    try {
      expect(() => copyBeforeMigration(db, 3, 4, full)).toThrow(
        expect.objectContaining({
          code: 'store-failed',
          message: expect.stringMatching(/is not brought from schema 3 to 4, because it cannot be copied beforehand: ENOSPC/),
          advice: expect.stringMatching(/^Nothing was changed: .* Make at least [\d.]+ KiB free on the disk of /),
        }),
      );
    } finally {
      db.close();
    }
    expect(readdirSync(dataDir).filter((name) => name.includes('.before-'))).toEqual([]);
    expect(rowsOf(dataDir)).toEqual(before);
  });

  it('waits for whoever reads it, or says so: the copy has what the write-ahead log has', () => {
    makeSchema3(dataDir);
    const db = openForWriting(dataDir);
    const reader = openForReading(dataDir);
    try {
      db.pragma('busy_timeout = 50');
      reader.exec('BEGIN; SELECT * FROM hosts');
      db.exec(`INSERT INTO hosts VALUES ('later', '{}')`);
      expect(() => migrate(db, 1)).toThrow(/another program reads it/);
      reader.exec('COMMIT');
      migrate(db, 1);
    } finally {
      reader.close();
      db.close();
    }
    const copy = new SqliteDatabase(`${databasePath(dataDir)}.before-4`, { readonly: true });
    expect(copy.prepare(`SELECT count(*) AS n FROM hosts WHERE name = 'later'`).get()).toEqual({ n: 1 });
    copy.close();
  });
});

describe('the lock on an open database', () => {
  /** That of SQLite in this process, as the kernel knows it. */
  function locked(): boolean {
    const inode = statSync(databasePath(dataDir)).ino;
    const lines = readFileSync('/proc/locks', 'utf8').split('\n');
    return lines.some((line) => line.includes(` ${process.pid} `) && line.includes(`:${inode} `));
  }

  it('holds when another connection of this process is opened and closed', () => {
    makeSchema3(dataDir);
    const db = openForWriting(dataDir);
    expect(locked()).toBe(true);
    openForWriting(dataDir).close();
    expect(locked()).toBe(true);
    db.close();
    expect(locked()).toBe(false);
  });

  it('holds while and after it is copied for an upgrade', () => {
    makeSchema3(dataDir);
    const db = openForWriting(dataDir);
    // After the copy, in the middle of the upgrade.
    const during: boolean[] = [];
    const migrated = migrate(
      db,
      1,
      migrations.map((step) => ({ ...step, prepare: () => void during.push(locked()) })),
    );
    expect([...during, locked()]).toEqual([true, true]);
    db.close();
    migrated();
    expect(locked()).toBe(false);
  });
});

describe('a data directory of a later version', () => {
  const later = [1, 2].map((more) => ({ version: newest + more, sql: `CREATE TABLE later_${more} (x)` }));

  function becomeLater(): void {
    const db = openForWriting(dataDir);
    migrate(db, 2, [...migrations, ...later]);
    db.close();
  }

  it('is refused with both versions and the copy to go back to, and that way works', async () => {
    makeSchema3(dataDir);
    await upgrade();
    const before = rowsOf(dataDir);
    becomeLater();
    const file = databasePath(dataDir);
    const copy = `${file}.before-${newest + 1}`;
    await expect(upgrade()).rejects.toMatchObject({
      code: 'store-failed',
      recoverable: false,
      message: `${file} has schema ${newest + 2}; this program knows only up to ${newest}`,
      advice: expect.stringContaining(`put ${copy} in the place of ${file}`),
    });
    for (const suffix of ['-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true });
    renameSync(copy, file);
    await upgrade();
    expect(rowsOf(dataDir)).toEqual(before);
  });

  it('without the copy: it says that there is none, and what to restore', async () => {
    await upgrade();
    becomeLater();
    rmSync(`${databasePath(dataDir)}.before-${newest + 1}`);
    await expect(upgrade()).rejects.toMatchObject({ advice: expect.stringMatching(/there is no copy beside it .*restore a backup/) });
    expect(existsSync(databasePath(dataDir))).toBe(true);
  });
});
