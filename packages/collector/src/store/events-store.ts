/** Events, and the highest committed sequence of every outbox epoch. */
import type { AgentEvent, EventKind, Severity } from '@relight/shared/event';
import type { Database } from 'better-sqlite3';
import { Statements, Where } from './statements.ts';
import type { CollectorEvent, EventFilter, StoredEvent } from './store.ts';

interface EventRow {
  readonly id: number;
  readonly at: number;
  readonly received_at: number;
  readonly host: string;
  readonly workload: string | null;
  readonly generation: number | null;
  readonly kind: EventKind;
  readonly severity: Severity;
  readonly message: string;
  readonly data: string;
}

const lastSeqSql = 'SELECT seq FROM epochs WHERE agent_id = ? AND epoch = ?';

export function eventReads(db: Database) {
  const lastSeq = db.prepare<[string, string], { seq: number }>(lastSeqSql);
  const statements = new Statements(db);
  return {
    lastEventSeq: (agentId: string, epoch: string): number => lastSeq.get(agentId, epoch)?.seq ?? 0,
    events(filter: EventFilter): StoredEvent[] {
      const where = new Where()
        .add('host = ?', filter.host)
        .add('workload = ?', filter.workload)
        .oneOf('kind', filter.kinds)
        .oneOf('severity', filter.severities)
        .add('at >= ?', filter.since)
        .add('at <= ?', filter.until)
        .add(filter.newestFirst === true ? 'id < ?' : 'id > ?', filter.after);
      const sql = `SELECT * FROM events ${where.sql} ORDER BY id ${filter.newestFirst === true ? 'DESC' : 'ASC'} LIMIT ?`;
      return statements.all<EventRow>(sql, [...where.parameters, filter.limit]).map(toEvent);
    },
  };
}

function toEvent({ received_at, data, ...row }: EventRow): StoredEvent {
  return { ...row, receivedAt: received_at, data: JSON.parse(data) as Record<string, unknown> };
}

export function eventWrites(db: Database) {
  const lastSeq = db.prepare<[string, string], { seq: number }>(lastSeqSql);
  const setSeq = db.prepare(
    `INSERT INTO epochs (agent_id, epoch, seq, updated_at) VALUES (?, ?, ?, ?)
     ON CONFLICT (agent_id, epoch) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at`,
  );
  const insert = db.prepare(
    `INSERT INTO events (at, received_at, host, workload, generation, kind, severity, message, data)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const store = (event: CollectorEvent, receivedAt: number): StoredEvent => {
    const { at, host, workload, generation, kind, severity, message, data } = event;
    const done = insert.run(Math.round(at), receivedAt, host, workload, generation, kind, severity, message, JSON.stringify(data));
    return { ...event, id: Number(done.lastInsertRowid), receivedAt };
  };
  return {
    /** A jump in the numbering (the agent's outbox overflowed, or this store is new) is stored as a counted gap. */
    commitEvents(
      agentId: string,
      host: string,
      epoch: string,
      events: readonly AgentEvent[],
      receivedAt: number,
    ): { seq: number; stored: StoredEvent[] } {
      const before = lastSeq.get(agentId, epoch)?.seq ?? 0;
      const fresh = events.filter((event) => event.seq > before);
      const first = fresh[0];
      const last = fresh.at(-1);
      if (first === undefined || last === undefined) return { seq: before, stored: [] };
      const stored: StoredEvent[] = [];
      if (first.seq > before + 1) stored.push(store(missing(host, epoch, before + 1, first), receivedAt));
      for (const { seq: _, workload, generation, ...event } of fresh) {
        stored.push(store({ ...event, host, workload: workload ?? null, generation: generation ?? null }, receivedAt));
      }
      setSeq.run(agentId, epoch, last.seq, receivedAt);
      return { seq: last.seq, stored };
    },
    commitOwnEvent: (event: CollectorEvent, receivedAt: number): StoredEvent => store(event, receivedAt),
  };
}

function missing(host: string, epoch: string, from: number, next: AgentEvent): CollectorEvent {
  const count = next.seq - from;
  return {
    at: next.at,
    host,
    workload: null,
    generation: null,
    kind: 'log.gap',
    severity: from === 1 ? 'info' : 'warning',
    message: `${count} events of this host (${from}–${next.seq - 1}) never reached this collector`,
    data: { lane: 'events', epoch, from, to: next.seq, events: count },
  };
}
