import type { Database } from 'better-sqlite3';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { waitFor } from '../../../../../test/support/wait.ts';
import { openForReading, openForWriting } from '../database.ts';
import { BesideCommits, walBytes } from './checkpoints.ts';

let dataDir: string;
let writer: Database;
let beside: Database;
let asked: number;
let log: BesideCommits;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-checkpoints-'));
  writer = openForWriting(dataDir);
  writer.pragma('wal_autocheckpoint = 0');
  writer.exec('CREATE TABLE lines (text TEXT)');
  const db = openForWriting(dataDir);
  beside = db;
  asked = 0;
  log = new BesideCommits({
    name: db.name,
    pragma: (source) => {
      asked += 1;
      return db.pragma(source);
    },
  });
});

afterEach(() => {
  beside.close();
  writer.close();
  rmSync(dataDir, { recursive: true });
});

const write = (bytes: number): void => void writer.prepare('INSERT INTO lines VALUES (?)').run('x'.repeat(bytes));

it('is copied when enough was written, and then left alone until more is', async () => {
  expect(log.copy()).toBe(true);
  expect(asked).toBe(0);
  write(4_000_000);
  expect(log.copy()).toBe(true);
  expect(asked).toBe(1);
  const size = walBytes(writer.name);
  expect([log.copy(), log.copy()]).toEqual([false, false]);
  expect(asked).toBe(1);
  // All of it was copied: the log begins again from its start, and is no longer than before.
  const writtenAgain = (): boolean => {
    write(1);
    return log.copy();
  };
  // The times of files are as coarse as the kernel's clock.
  await waitFor(writtenAgain, { what: 'the log to look different' });
  expect(walBytes(writer.name)).toBe(size);
  expect(asked).toBe(2);
});

it('what a reader stands in the way of is copied when he has gone, although nothing more is written', () => {
  const reader = openForReading(dataDir);
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM lines').get();
  write(4_000_000);
  expect(log.copy()).toBe(true);
  expect(log.copy()).toBe(false);
  expect(asked).toBe(2);
  reader.close();
  expect(log.copy()).toBe(false);
  expect(asked).toBe(3);
  expect(log.copy()).toBe(false);
  expect(asked).toBe(3);
});
