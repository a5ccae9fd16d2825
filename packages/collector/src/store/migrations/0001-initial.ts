import type { Migration } from '../migrate.ts';

/**
 * Bodies stand last in their rows, so that a scan over the other columns never touches a blob's overflow pages.
 * log_pieces repeats the segment's key and refers to nothing: pieces can move to a file of their own.
 */
export const initial: Migration = {
  version: 1,
  sql: `
    CREATE TABLE hosts (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE fenced_agents (
      host TEXT NOT NULL, agent_id TEXT NOT NULL, at INTEGER NOT NULL,
      PRIMARY KEY (host, agent_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE epochs (
      agent_id TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, updated_at INTEGER NOT NULL,
      PRIMARY KEY (agent_id, epoch)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE events (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      at INTEGER NOT NULL, received_at INTEGER NOT NULL,
      host TEXT NOT NULL, workload TEXT, generation INTEGER,
      kind TEXT NOT NULL, severity TEXT NOT NULL, message TEXT NOT NULL, data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_host ON events (host, workload);
    CREATE INDEX events_by_kind ON events (kind);
    CREATE INDEX events_by_severity ON events (severity) WHERE severity <> 'info';
    CREATE INDEX events_by_time ON events (at);
    CREATE INDEX events_by_receipt ON events (received_at);

    CREATE TABLE segments (
      agent_id TEXT NOT NULL, workload TEXT NOT NULL, generation INTEGER NOT NULL, source TEXT NOT NULL, run TEXT NOT NULL,
      committed INTEGER NOT NULL, updated_at INTEGER NOT NULL,
      PRIMARY KEY (agent_id, workload, generation, source, run)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE log_pieces (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL, received_at INTEGER NOT NULL,
      host TEXT NOT NULL, workload TEXT NOT NULL, generation INTEGER NOT NULL, source TEXT NOT NULL, run TEXT NOT NULL,
      first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, bytes INTEGER NOT NULL,
      header TEXT NOT NULL, body BLOB
    ) STRICT;
    CREATE INDEX log_pieces_by_stream ON log_pieces (host, workload, id, source, generation, first_at, last_at);
    CREATE INDEX log_pieces_by_receipt ON log_pieces (received_at);
    CREATE TABLE log_totals (bytes INTEGER NOT NULL) STRICT;
    INSERT INTO log_totals VALUES (0);

    CREATE TABLE alerts (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, host TEXT NOT NULL, workload TEXT, record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX alerts_by_state ON alerts (state);
    CREATE INDEX alerts_by_host ON alerts (host, workload);

    CREATE TABLE notifications (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      sink TEXT NOT NULL, body TEXT NOT NULL, created_at INTEGER NOT NULL, attempts INTEGER NOT NULL, next_attempt_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE tokens (
      id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, host TEXT,
      created_at INTEGER NOT NULL, last_used_at INTEGER, revoked_at INTEGER
    ) STRICT, WITHOUT ROWID;
  `,
};
