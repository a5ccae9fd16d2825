import { toRelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { packBlock, splitFilter } from '@relight/shared/log-block';
import SqliteDatabase from 'better-sqlite3';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { databasePath, openForWriting } from './database.ts';
import { commitGroup } from './group-commit.ts';
import { migrate, migrations } from './migrate.ts';
import { openStore, type SqliteStore } from './sqlite-store.ts';
import { tokenWrites } from './token-store.ts';
import { createWrites } from './writes.ts';

const segment = { workload: 'w', generation: 1, source: 'process', run: 'r1' };
const block = (from: number, text: string) =>
  packBlock(segment, from, from + text.length + 1, [
    { offset: from, at: 1_000 + from, approx: false, stream: 'stdout', bytes: Buffer.from(text), truncated: false },
  ]);
const event = (seq: number, more: object = {}) => ({
  seq,
  at: 1_000 + seq,
  kind: 'process.exited' as const,
  severity: 'warning' as const,
  message: `event ${seq}`,
  data: { seq },
  ...more,
});
const noLimits = { eventsBefore: 0, logsBefore: 0, logsBytesMax: Number.MAX_SAFE_INTEGER };

let dataDir: string;
let store: SqliteStore;
const clock = new ManualClock();

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'relight-store-'));
  store = await openStore({ dataDir, clock });
});
afterEach(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true });
});

describe('events', () => {
  it('answers everybody, whatever stood in the same commit', async () => {
    const nested = (levels: number): object => JSON.parse(`{"x":${'['.repeat(levels)}${']'.repeat(levels)}}`) as object;
    for (let levels = 1_000; levels <= 4_000; levels += 250) {
      const deep = store.commitEvents('a', 'h', `e${levels}`, [event(1, { data: nested(levels) })], 5);
      const beside = store.commitEvents('b', 'h', `e${levels}`, [event(1)], 5);
      // Told that it failed, an agent sends it again.
      const said = await Promise.all([deep, beside].map((answer) => answer.then(() => 'stored', toRelightError)));
      expect(['stored', expect.objectContaining({ code: 'store-failed' })]).toContainEqual(said[1]);
      expect(await store.commitEvents('b', 'h', `e${levels}`, [event(1)], 6)).toMatchObject({ seq: 1 });
    }
  });

  it('stores each sequence once, whatever is sent again', async () => {
    expect(await store.commitEvents('a', 'h', 'e1', [event(1), event(2)], 5)).toMatchObject({ seq: 2, stored: [{ id: 1 }, { id: 2 }] });
    expect(await store.commitEvents('a', 'h', 'e1', [event(2), event(3)], 6)).toMatchObject({ seq: 3, stored: [{ message: 'event 3' }] });
    expect(await store.commitEvents('a', 'h', 'e1', [event(1)], 7)).toEqual({ seq: 3, stored: [] });
    expect(store.lastEventSeq('a', 'e1')).toBe(3);
    expect(store.lastEventSeq('a', 'e2')).toBe(0);
    expect(store.events({ limit: 10 }).map((e) => e.message)).toEqual(['event 1', 'event 2', 'event 3']);
    expect(store.events({ limit: 1 })[0]).toEqual({
      id: 1,
      at: 1_001,
      receivedAt: 5,
      host: 'h',
      workload: null,
      generation: null,
      kind: 'process.exited',
      severity: 'warning',
      message: 'event 1',
      data: { seq: 1 },
    });
  });

  it('counts a jump in the numbering as a gap', async () => {
    await store.commitEvents('a', 'h', 'e1', [event(1)], 5);
    const { stored } = await store.commitEvents('a', 'h', 'e1', [event(5)], 6);
    expect(stored.map((e) => [e.kind, e.severity, e.data['events'] ?? null])).toEqual([
      ['log.gap', 'warning', 3],
      ['process.exited', 'warning', null],
    ]);
  });

  it('filters and pages in both directions', async () => {
    await store.commitEvents(
      'a',
      'h',
      'e',
      [event(1), event(2, { workload: 'w', severity: 'error' }), event(3, { kind: 'mount.lost' })],
      5,
    );
    await store.commitOwnEvent({ ...event(9), host: 'other', workload: null, generation: null });
    const ids = (filter: Partial<Parameters<SqliteStore['events']>[0]>) => store.events({ limit: 10, ...filter }).map((e) => e.id);
    expect(ids({ host: 'h' })).toEqual([1, 2, 3]);
    expect(ids({ host: 'h', workload: 'w' })).toEqual([2]);
    expect(ids({ kinds: ['mount.lost', 'process.exited'], severities: ['warning'] })).toEqual([1, 3, 4]);
    expect(ids({ since: 1_002, until: 1_003 })).toEqual([2, 3]);
    expect(ids({ after: 2 })).toEqual([3, 4]);
    expect(ids({ newestFirst: true, after: 3, limit: 1 })).toEqual([2]);
    expect(ids({ kinds: [] })).toEqual([]);
  });
});

describe('logs', () => {
  it('takes a piece only at the committed offset', async () => {
    expect(await store.commitBlock('a', 'h', block(0, 'one'), 5)).toEqual({ committed: 4, stored: true, rewind: false, id: 1 });
    expect(await store.commitBlock('a', 'h', block(0, 'one'), 5)).toEqual({ committed: 4, stored: false, rewind: false });
    expect(await store.commitBlock('a', 'h', block(9, 'three'), 5)).toEqual({ committed: 4, stored: false, rewind: true });
    expect(await store.commitBlock('a', 'h', block(2, 'overlapping'), 5)).toEqual({ committed: 4, stored: false, rewind: true });
    const gap = { type: 'gap' as const, segment, from: 4, to: 9, reason: 'budget', at: 1_004 };
    expect(await store.commitGap('a', 'h', gap, 6)).toMatchObject({ committed: 9, stored: true });
    expect(await store.commitBlock('a', 'h', block(9, 'three'), 7)).toMatchObject({ committed: 15, stored: true });
    expect(store.committedOffset('a', segment)).toBe(15);
    expect(store.committedOffset('b', segment)).toBe(0);
    const pieces = store.logPieces({ hosts: ['h', 'g'], workload: 'w', source: 'process', generation: 1 }, { limit: 10 });
    expect(pieces.map((piece) => piece.kind)).toEqual(['block', 'gap', 'block']);
    const first = pieces[0];
    expect(first?.kind === 'block' && Buffer.compare(first.block.body, splitFilter(block(0, 'one')).data)).toBe(0);
  });

  it('finds pieces by time, host and page', async () => {
    for (const [from, text] of [
      [0, 'aaa'],
      [4, 'bbb'],
      [8, 'ccc'],
    ] as const)
      await store.commitBlock('a', 'h', block(from, text), 5);
    const ids = (filter: object, page: object = {}) => store.logPieces(filter, { limit: 10, ...page }).map((piece) => piece.id);
    expect(ids({ since: 1_004, until: 1_007 })).toEqual([2]);
    expect(ids({}, { newestFirst: true, limit: 2 })).toEqual([3, 2]);
    expect(ids({}, { newestFirst: true, beforeId: 2 })).toEqual([1]);
    expect(ids({}, { afterId: 2 })).toEqual([3]);
    expect(ids({ hosts: [] })).toEqual([]);
  });

  it('never passes on more of a socket buffer than the body', async () => {
    const packed = block(0, 'hello');
    const shared = Buffer.alloc(100_000);
    shared.set(packed.body, 500);
    const window = { header: packed.header, body: shared.subarray(500, 500 + packed.body.length) };
    await store.commitBlock('a', 'h', window, 5);
    expect(shared.length).toBe(100_000);
    const [piece] = store.logPieces({}, { limit: 1 });
    expect(piece?.kind === 'block' && Buffer.compare(piece.block.body, splitFilter(packed).data)).toBe(0);
  });
});

describe('alerts, notifications, hosts, tokens', () => {
  const alert = (id: string, state: 'firing' | 'resolved' = 'firing') => ({
    id,
    rule: 'HostDead',
    severity: 'critical' as const,
    host: 'h',
    workload: null,
    state,
    startsAt: 1,
    endsAt: state === 'resolved' ? 2 : null,
    summary: id,
    labels: {},
    data: { n: 1 },
  });

  it('keeps an alert and its notifications together', async () => {
    await store.putAlerts(
      [alert('x')],
      [
        { sink: 's1', body: 'x fires' },
        { sink: 's2', body: 'x fires' },
      ],
      10,
    );
    await store.putAlerts([alert('y')], [], 11);
    await store.putAlerts([alert('x', 'resolved')], [], 12);
    expect(store.alerts({ limit: 10 }).map((a) => a.id)).toEqual(['y', 'x']);
    expect(store.alerts({ limit: 10, after: 'y' }).map((a) => a.state)).toEqual(['resolved']);
    expect(store.alerts({ limit: 10, state: 'firing', host: 'h' }).map((a) => a.id)).toEqual(['y']);
    const untold = { ...alert('z', 'resolved'), data: { gathered: { told: 'warning', toldAt: 1, since: 2 } } };
    await store.putAlerts([untold, { ...alert('v', 'resolved'), data: { gathered: { told: null, toldAt: 1, since: null } } }], [], 12);
    expect([2, 3].map((endedSince) => store.alerts({ limit: 10, state: 'resolved', endedSince }).map((a) => a.id))).toEqual([
      ['v', 'z', 'x'],
      ['z'],
    ]);
    await store.notificationFailed(1, 99);
    await store.notificationDelivered(2);
    expect(store.pendingNotifications(10)).toEqual([{ id: 1, sink: 's1', body: 'x fires', createdAt: 10, attempts: 1, nextAttemptAt: 99 }]);
  });

  it('gives a queue another name, in what its messages say of themselves, too', async () => {
    const body = (receiver: string): string => JSON.stringify({ receiver, summary: 'receiver http://u:p@x' });
    const notifications = ['http://u:p@x', 'http://y'].map((sink) => ({ sink, body: body(sink) }));
    await store.putAlerts([alert('x')], notifications, 10);
    await store.renameSink('http://u:p@x', 'http://x');
    expect(store.pendingNotifications(10, 'http://u:p@x')).toEqual([]);
    expect(store.pendingNotifications(10)).toMatchObject([
      { sink: 'http://x', body: body('http://x'), createdAt: 10, attempts: 0 },
      { sink: 'http://y', body: body('http://y') },
    ]);
  });

  it('sees a token of another connection at once, and its revocation', () => {
    const db = openForWriting(dataDir);
    const tokens = tokenWrites(db);
    const { id, token } = tokens.createToken('agent', 'h', 1);
    expect(token).toMatch(/^rla_[\w-]{43}$/);
    expect(store.checkToken(token)).toMatchObject({ id, kind: 'agent', host: 'h', revokedAt: null });
    expect(store.checkToken(`${token}x`)).toBeNull();
    expect(
      db
        .prepare('SELECT * FROM tokens')
        .all()
        .map((row) => JSON.stringify(row))
        .join(),
    ).not.toContain(token.slice(4));
    expect(tokens.revokeToken(id, 2)).toEqual([id]);
    expect(tokens.revokeToken(id, 3)).toEqual([]);
    expect(store.checkToken(token)).toBeNull();
    expect([...store.revokedTokenIds()]).toEqual([id]);
    db.close();
  });

  it('forgets the fences of a host with the host', async () => {
    await store.fenceAgents('h', ['old'], 1);
    await store.fenceAgents('h2', ['other'], 1);
    await store.fenceAgents('h', ['old', 'a'], 2);
    expect(store.fencedAgents()).toContainEqual({ host: 'h', agent: 'old' });
    await store.fenceAgents('h', ['a', 'newest'], 3);
    expect(store.fencedAgents()).toEqual([
      { host: 'h2', agent: 'other' },
      { host: 'h', agent: 'a' },
      { host: 'h', agent: 'newest' },
    ]);
    await store.deleteHost('h2');
    expect(await store.deleteHost('h')).toBe(false);
    expect(store.fencedAgents()).toEqual([]);
  });
});

describe('retention', () => {
  it('removes by age and by size, oldest first, and keeps the high-water marks', async () => {
    await store.commitEvents('a', 'h', 'e', [event(1)], 100);
    await store.commitEvents('a', 'h', 'e', [event(2)], 200);
    for (const [from, text] of [
      [0, 'aaa'],
      [4, 'bbb'],
      [8, 'ccc'],
    ] as const)
      await store.commitBlock('a', 'h', block(from, text), 100 + from);
    expect(await store.prune({ ...noLimits, eventsBefore: 150, logsBefore: 101 })).toEqual({ events: 1, pieces: 1 });
    expect(store.logPieces({}, { limit: 10 }).map((piece) => piece.id)).toEqual([2, 3]);
    expect(await store.prune({ ...noLimits, logsBytesMax: 400 })).toEqual({ events: 0, pieces: 1 });
    expect(await store.prune({ ...noLimits, logsBytesMax: 0, eventsBefore: 1_000, logsBefore: 1_000 })).toEqual({ events: 1, pieces: 1 });
    expect(store.lastEventSeq('a', 'e')).toBe(2);
    expect(store.committedOffset('a', segment)).toBe(12);
    expect(await store.commitEvents('a', 'h', 'e', [event(2)], 300)).toEqual({ seq: 2, stored: [] });
  });

  it('drops marks that a newer epoch or generation has replaced', async () => {
    await store.commitEvents('a', 'h', 'old', [event(1)], 100);
    await store.commitEvents('a', 'h', 'new', [event(1)], 200);
    await store.prune({ ...noLimits, eventsBefore: 1_000 });
    expect([store.lastEventSeq('a', 'old'), store.lastEventSeq('a', 'new')]).toEqual([0, 1]);
  });
});

describe('the data directory', () => {
  it('belongs to one service', async () => {
    await expect(openStore({ dataDir, clock })).rejects.toMatchObject({ code: 'already-running' });
  });

  it('is refused with a clear message where it cannot be written', async () => {
    await expect(openStore({ dataDir: '/proc/relight', clock })).rejects.toMatchObject({ code: 'config-unreadable' });
  });

  it('proves that writing goes on while much waits as well as when nothing does, and not once it is closed', async () => {
    await store.proveWriting();
    // Many groups: on a slow disk what is asked last is answered minutes later.
    let written = 0;
    const waiting = Array.from({ length: 2_000 }, async () => {
      await store.commitOwnEvent({ ...event(1), host: 'h', workload: null, generation: null });
      written += 1;
    });
    await store.proveWriting();
    expect(written).toBeLessThan(waiting.length);
    await Promise.all(waiting);
    await store.proveWriting();
    await store.close();
    await expect(store.proveWriting()).rejects.toMatchObject({ code: 'store-failed' });
    store = await openStore({ dataDir, clock });
  });

  it('keeps everything over close and open', async () => {
    await store.commitEvents('a', 'h', 'e', [event(1)], 5);
    await store.close();
    await expect(store.commitOwnEvent({ ...event(2), host: 'h', workload: null, generation: null })).rejects.toMatchObject({
      code: 'store-failed',
    });
    store = await openStore({ dataDir, clock });
    expect(store.lastEventSeq('a', 'e')).toBe(1);
  });
});

describe('migrations', () => {
  const newest = migrations.length;
  const next = { version: newest + 1, sql: 'CREATE TABLE more (x)' };

  it('copies a database before changing it, runs each step once, refuses a newer one', async () => {
    await store.commitEvents('a', 'h', 'e', [event(1)], 5);
    await store.close();
    const db = openForWriting(dataDir);
    migrate(db, 1, [...migrations, next]);
    migrate(db, 2, [...migrations, next]);
    db.close();
    const backup = new SqliteDatabase(`${databasePath(dataDir)}.before-${newest + 1}`);
    expect(backup.prepare('SELECT count(*) AS n FROM events').get()).toEqual({ n: 1 });
    backup.close();
    await expect(openStore({ dataDir, clock })).rejects.toThrow(`has schema ${newest + 1}; this program knows only up to ${newest}`);
    rmSync(dataDir, { recursive: true });
    store = await openStore({ dataDir, clock });
    expect(existsSync(`${databasePath(dataDir)}.before-1`)).toBe(false);
  });

  it('undoes a step that fails halfway', () => {
    const db = new SqliteDatabase(':memory:');
    expect(() => migrate(db, 1, [{ version: 1, sql: 'CREATE TABLE a (x); CREATE TABLE a (x)' }])).toThrow(/already exists/);
    expect(db.prepare(`SELECT name FROM sqlite_schema WHERE name = 'a'`).all()).toEqual([]);
    db.close();
  });
});

describe('group commit', () => {
  it('undoes a failing command alone', () => {
    const db = openForWriting(dataDir);
    const broken = { ...event(2), message: null as unknown as string };
    const outcomes = commitGroup(db, createWrites(db), [
      { id: 1, name: 'commitEvents', args: ['a', 'h', 'e', [event(1)], 5] },
      { id: 2, name: 'commitEvents', args: ['b', 'h', 'e', [event(1), broken], 5] },
      { id: 3, name: 'putHost', args: ['h', '{}'] },
    ]);
    db.close();
    expect(outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.code))).toEqual(['ok', 'internal', 'ok']);
    expect(store.lastEventSeq('b', 'e')).toBe(0);
    expect(store.events({ limit: 10 }).map((e) => e.message)).toEqual(['event 1']);
  });

  it('answers a full disk with store-failed for the whole group, and goes on when there is room again', () => {
    const db = openForWriting(dataDir);
    const writes = createWrites(db);
    const pages = Number(db.pragma('page_count', { simple: true }));
    db.pragma(`max_page_count = ${pages}`);
    const big = JSON.stringify('x'.repeat(1_000_000));
    const full = commitGroup(db, writes, [
      { id: 1, name: 'commitEvents', args: ['a', 'h', 'e', [event(1)], 5] },
      { id: 2, name: 'putHost', args: ['h', big] },
    ]);
    expect(full.map((outcome) => (outcome.ok ? 'ok' : outcome.code)).at(-1)).toBe('store-failed');
    expect(store.lastEventSeq('a', 'e')).toBe(full[0]?.ok === true ? 1 : 0);
    db.pragma('max_page_count = 1000000');
    expect(commitGroup(db, writes, [{ id: 3, name: 'putHost', args: ['h', big] }])).toMatchObject([{ ok: true }]);
    db.close();
  });
});
