/** Facts of the store: schema, how many rows, what the audit log and the list of tokens say in numbers. Read only, on a connection of its own. */
import { isoTime } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import type { Database } from 'better-sqlite3';
import { existsSync } from 'node:fs';
import { presentToken } from '../api/tokens.ts';
import { databasePath, openForReading } from '../store/database.ts';
import { migrations, schemaVersion } from '../store/migrate.ts';
import type { TokenRecord } from '../store/store.ts';
import { tokenReads } from '../store/token-store.ts';
import { jsonPiece, reasonOf, told, type PartRecord } from './part.ts';

/** Of agents, those used last: a fleet of ten thousand says the same in each. */
const agentTokensMax = 500;

export function* storePieces(dataDir: string, now: number): Generator<PartRecord> {
  let db: Database;
  try {
    db = open(dataDir);
  } catch (error) {
    for (const name of ['store.json', 'audit.json', 'access.json']) yield { name, reason: reasonOf(error) };
    return;
  }
  try {
    yield jsonPiece('store.json', () => storeFacts(db));
    yield jsonPiece('audit.json', () => auditFacts(db));
    yield jsonPiece('access.json', () => accessFacts(tokenReads(db).tokens(), now));
  } finally {
    db.close();
  }
}

function open(dataDir: string): Database {
  const path = databasePath(dataDir);
  if (!existsSync(path)) throw new RelightError('not-found', `there is no ${path}, or it may not be looked at`);
  return openForReading(dataDir);
}

function storeFacts(db: Database): unknown {
  const number = (name: string) => told(() => db.pragma(name, { simple: true }));
  return {
    schema: told(() => schemaVersion(db)),
    schemaOfThisProgram: migrations.at(-1)?.version ?? 0,
    migrations: told(() =>
      db
        .prepare<[], { version: number; at: number }>('SELECT version, at FROM migrations ORDER BY version')
        .all()
        .map(({ version, at }) => ({ version, at: isoTime(at) })),
    ),
    journalMode: number('journal_mode'),
    pageSize: number('page_size'),
    pages: number('page_count'),
    freePages: number('freelist_count'),
    rows: told(() => rowsByTable(db)),
  };
}

function rowsByTable(db: Database): unknown {
  const tables = db
    .prepare<[], { name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
    .all();
  return tables.map(({ name: table }) => ({
    table,
    rows: told(() => db.prepare<[], { rows: number }>(`SELECT count(*) AS rows FROM "${table}"`).get()?.rows ?? 0),
  }));
}

/** Who did it, and to whom, is nobody's business elsewhere. */
function auditFacts(db: Database): unknown {
  const rows = db
    .prepare<[], { action: string; outcome: string; count: number; first: number; last: number }>(
      'SELECT action, outcome, count(*) AS count, min(at) AS first, max(at) AS last FROM audit GROUP BY action, outcome ORDER BY action, outcome',
    )
    .all();
  return rows.map(({ first, last, ...row }) => ({ ...row, first: isoTime(first), last: isoTime(last) }));
}

/** Without hashes and names; which ones they are is said by their ids, as in `relight-collector token list`. */
function accessFacts(all: readonly TokenRecord[], now: number): unknown {
  const counts = new Map<string, number>();
  for (const one of all) {
    const group = `${one.kind}, ${stateOf(one, now)}`;
    counts.set(group, (counts.get(group) ?? 0) + 1);
  }
  const agents = all.filter(({ kind }) => kind === 'agent').toSorted((a, b) => (b.lastUsedAt ?? 0) - (a.lastUsedAt ?? 0));
  const shown = [...all.filter(({ kind }) => kind !== 'agent'), ...agents.slice(0, agentTokensMax)];
  return {
    counts: Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    agentsLeftOut: Math.max(0, agents.length - agentTokensMax),
    list: shown.map((one) => {
      const { id, kind, role, host, createdAt, expiresAt, lastUsedAt, revokedAt, usesLeft } = presentToken(one);
      return { id, kind, role, host, state: stateOf(one, now), createdAt, expiresAt, lastUsedAt, revokedAt, usesLeft };
    }),
  };
}

function stateOf({ revokedAt, expiresAt, usesLeft }: TokenRecord, now: number): string {
  if (revokedAt !== null) return 'revoked';
  if (expiresAt !== null && expiresAt <= now) return 'expired';
  return usesLeft !== null && usesLeft <= 0 ? 'used up' : 'valid';
}
