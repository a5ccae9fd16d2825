/** Who did what, and what was refused: only ever appended to, until retention takes the oldest. */
import type { Database } from 'better-sqlite3';
import type { AuditEntry, AuditFilter, StoredAuditEntry } from './store.ts';
import { Statements, Where } from './statements.ts';

type Row = Omit<StoredAuditEntry, 'detail'> & { readonly detail: string };

export function auditReads(db: Database) {
  const statements = new Statements(db);
  return {
    /** Newest first. */
    audit(filter: AuditFilter): StoredAuditEntry[] {
      const where = new Where()
        .add('actor = ?', filter.actor)
        .add('action = ?', filter.action)
        .add('outcome = ?', filter.outcome)
        .add('target = ?', filter.target)
        .add('at >= ?', filter.since)
        .add('at <= ?', filter.until)
        .add('id < ?', filter.after);
      const sql = `SELECT id, at, action, outcome, target, actor, name, role, address, detail FROM audit ${where.sql} ORDER BY id DESC LIMIT ?`;
      const rows = statements.all<Row>(sql, [...where.parameters, filter.limit]);
      return rows.map((row) => ({ ...row, detail: JSON.parse(row.detail) as Record<string, unknown> }));
    },
  };
}

export function auditWrites(db: Database) {
  const insert = db.prepare(
    `INSERT INTO audit (at, action, outcome, target, actor, name, role, address, detail)
     VALUES (:at, :action, :outcome, :target, :actor, :name, :role, :address, :detail)`,
  );
  const prune = db.prepare('DELETE FROM audit WHERE at < ?');
  return {
    appendAudit(entry: AuditEntry): void {
      insert.run({ ...entry, detail: JSON.stringify(entry.detail) });
    },
    pruneAudit: (before: number): number => prune.run(before).changes,
  };
}
