/** Alerts, newest first; the rule's memory travels inside the record. */
import type { Database } from 'better-sqlite3';
import { Statements, Where } from './statements.ts';
import type { AlertRecord, Store } from './store.ts';

export function alertReads(db: Database) {
  const statements = new Statements(db);
  return {
    /** `after` is the id of the last alert of the page before; an id that is gone gives an empty page. */
    alerts(filter: Parameters<Store['alerts']>[0]): AlertRecord[] {
      const where = new Where()
        .add('state = ?', filter.state)
        .add('host = ?', filter.host)
        .add('workload = ?', filter.workload)
        .add("(record ->> '$.endsAt' >= ? OR record ->> '$.data.gathered.since' IS NOT NULL)", filter.endedSince)
        .add('position < (SELECT position FROM alerts WHERE id = ?)', filter.after);
      const sql = `SELECT record FROM alerts ${where.sql} ORDER BY position DESC LIMIT ?`;
      const rows = statements.all<{ record: string }>(sql, [...where.parameters, filter.limit]);
      return rows.map((row) => JSON.parse(row.record) as AlertRecord);
    },
  };
}

export function alertWrites(db: Database) {
  const put = db.prepare(
    `INSERT INTO alerts (id, state, host, workload, record) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET state = excluded.state, host = excluded.host, workload = excluded.workload, record = excluded.record`,
  );
  const notify = db.prepare('INSERT INTO notifications (sink, body, created_at, attempts, next_attempt_at) VALUES (?, ?, ?, 0, ?)');
  return {
    putAlerts(
      alerts: readonly AlertRecord[],
      notifications: readonly { readonly sink: string; readonly body: string }[],
      at: number,
    ): void {
      for (const alert of alerts) put.run(alert.id, alert.state, alert.host, alert.workload, JSON.stringify(alert));
      for (const { sink, body } of notifications) notify.run(sink, body, at, at);
    },
  };
}
