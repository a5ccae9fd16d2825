import type { Migration } from '../migrate.ts';

/** The columns beside `record` are what lists filter by and metrics count; bodies of evidence are zstd, as they came. */
export const incidents: Migration = {
  version: 2,
  sql: `
    CREATE TABLE incidents (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      host TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL,
      opened_at INTEGER NOT NULL, closed_at INTEGER, received_at INTEGER NOT NULL,
      workload TEXT, code TEXT NOT NULL, level TEXT NOT NULL, severity TEXT NOT NULL,
      record TEXT NOT NULL,
      UNIQUE (host, id)
    ) STRICT;
    CREATE INDEX incidents_by_id ON incidents (id);
    CREATE INDEX incidents_by_opening ON incidents (opened_at);
    CREATE INDEX incidents_by_host ON incidents (host, workload);
    CREATE INDEX incidents_open ON incidents (host, workload) WHERE closed_at IS NULL;

    CREATE TABLE incident_evidence (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      host TEXT NOT NULL, incident TEXT NOT NULL, name TEXT NOT NULL,
      body BLOB NOT NULL,
      UNIQUE (host, incident, name)
    ) STRICT;
  `,
};
