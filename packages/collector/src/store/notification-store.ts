/** The durable queue of notifications: a row lives until its sink has taken it. */
import type { Database } from 'better-sqlite3';
import type { NotificationRecord } from './store.ts';

export function notificationReads(db: Database) {
  const pending = db.prepare<[number], NotificationRecord>(
    `SELECT id, sink, body, created_at AS createdAt, attempts, next_attempt_at AS nextAttemptAt
     FROM notifications ORDER BY next_attempt_at, id LIMIT ?`,
  );
  return { pendingNotifications: (limit: number): NotificationRecord[] => pending.all(limit) };
}

export function notificationWrites(db: Database) {
  const remove = db.prepare('DELETE FROM notifications WHERE id = ?');
  const postpone = db.prepare('UPDATE notifications SET attempts = attempts + 1, next_attempt_at = ? WHERE id = ?');
  return {
    notificationDelivered(id: number): void {
      remove.run(id);
    },
    notificationFailed(id: number, nextAttemptAt: number): void {
      postpone.run(Math.round(nextAttemptAt), id);
    },
  };
}
