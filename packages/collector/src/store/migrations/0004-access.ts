import type { Migration } from '../migrate.ts';

/** Whoever was an operator before there were roles could do everything, and still can. */
export const access: Migration = {
  version: 4,
  sql: `
    ALTER TABLE tokens ADD COLUMN name TEXT;
    ALTER TABLE tokens ADD COLUMN role TEXT;
    ALTER TABLE tokens ADD COLUMN expires_at INTEGER;
    ALTER TABLE tokens ADD COLUMN uses_left INTEGER;
    ALTER TABLE tokens ADD COLUMN grant_ms INTEGER;
    ALTER TABLE tokens ADD COLUMN agent_id TEXT;
    ALTER TABLE tokens ADD COLUMN machine_id TEXT;
    ALTER TABLE tokens ADD COLUMN parent TEXT;
    ALTER TABLE tokens ADD COLUMN replaces TEXT;
    UPDATE tokens SET role = 'admin' WHERE kind = 'operator';
    CREATE INDEX tokens_by_revocation ON tokens (revoked_at) WHERE revoked_at IS NOT NULL;
    CREATE INDEX tokens_by_replaced ON tokens (replaces) WHERE replaces IS NOT NULL;

    CREATE TABLE audit (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      at INTEGER NOT NULL, action TEXT NOT NULL, outcome TEXT NOT NULL, target TEXT,
      actor TEXT NOT NULL, name TEXT, role TEXT, address TEXT, detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_by_time ON audit (at);
  `,
};
