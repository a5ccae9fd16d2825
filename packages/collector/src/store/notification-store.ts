/** The durable queue of notifications: a row lives until its sink has taken it. */
import type { Database } from 'better-sqlite3';
import type { NotificationRecord } from './store.ts';

export function notificationReads(db: Database) {
  const columns = 'id, sink, body, created_at AS createdAt, attempts, next_attempt_at AS nextAttemptAt';
  const all = db.prepare<[number], NotificationRecord>(`SELECT ${columns} FROM notifications ORDER BY id LIMIT ?`);
  const ofSink = db.prepare<[string, number], NotificationRecord>(
    `SELECT ${columns} FROM notifications WHERE sink = ? ORDER BY id LIMIT ?`,
  );
  const waiting = db.prepare<[string], { waiting: number }>('SELECT count(*) AS waiting FROM notifications WHERE sink = ?');
  return {
    waitingNotifications: (sink: string): number => waiting.get(sink)?.waiting ?? 0,
    /** In the order in which they were written: a sink gets nothing before what it has not taken yet. */
    pendingNotifications: (limit: number, sink?: string): NotificationRecord[] =>
      sink === undefined ? all.all(limit) : ofSink.all(sink, limit),
  };
}

export function notificationWrites(db: Database) {
  const remove = db.prepare('DELETE FROM notifications WHERE id = ?');
  const postpone = db.prepare('UPDATE notifications SET attempts = attempts + 1, next_attempt_at = ? WHERE id = ?');
  const rename = db.prepare('UPDATE notifications SET sink = :to, body = replace(body, :fromText, :toText) WHERE sink = :from');
  return {
    /** The messages say whom they are for, too. */
    renameSink(from: string, to: string): void {
      rename.run({ from, to, fromText: JSON.stringify(from), toText: JSON.stringify(to) });
    },
    notificationDelivered(id: number): void {
      remove.run(id);
    },
    notificationFailed(id: number, nextAttemptAt: number): void {
      postpone.run(Math.round(nextAttemptAt), id);
    },
  };
}
