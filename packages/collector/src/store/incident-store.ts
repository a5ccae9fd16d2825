/** Incidents by host and id: the newest revision of each document, and the pieces of its evidence. */
import { severities, type Severity } from '@relight/shared/event';
import type { Incident } from '@relight/shared/incident';
import type { IncidentEvidence } from '@relight/shared/protocol';
import type { Database } from 'better-sqlite3';
import { Statements, Where } from './statements.ts';
import type { ClosedIncidents, IncidentCommit, IncidentFilter, IncidentOutcome, IncidentPlace, StoredIncident } from './store.ts';

interface Row {
  readonly host: string;
  readonly received_at: number;
  readonly record: string;
}

const toIncident = ({ host, received_at, record }: Row): StoredIncident => ({
  host,
  receivedAt: received_at,
  incident: JSON.parse(record) as Incident,
});

export function incidentReads(db: Database) {
  const statements = new Statements(db);
  const body = db.prepare<[string, string, string], { body: Buffer }>(
    'SELECT body FROM incident_evidence WHERE host = ? AND incident = ? AND name = ?',
  );
  // GLOB is case-sensitive and uses the index; ids hold none of its special characters.
  const byPrefix = db.prepare<[string, number], Row>(
    'SELECT host, received_at, record FROM incidents WHERE id GLOB ? ORDER BY opened_at DESC, position DESC LIMIT ?',
  );
  // Each from its index alone, without a look at any document.
  const openedSince = db.prepare<[number], number>('SELECT position FROM incidents WHERE opened_at >= ?').pluck();
  const open = db.prepare<[], number>('SELECT position FROM incidents WHERE closed_at IS NULL').pluck();
  const outcomes = db.prepare<[string], Omit<IncidentOutcome, 'alone'> & { readonly alone: number }>(
    `SELECT host, id, received_at AS receivedAt, workload, code, opened_at AS openedAt, closed_at AS closedAt,
       CASE WHEN closed_at IS NULL OR record ->> '$.timeToRecoverMs' IS NULL THEN 0 ELSE NOT (record ->> '$.byHand') END AS alone
     FROM incidents WHERE position IN (SELECT value FROM json_each(?)) ORDER BY position`,
  );
  return {
    incidentPositions: (since: number): number[] =>
      [...new Set([...openedSince.iterate(since), ...open.iterate()])].toSorted((a, b) => a - b),
    incidentOutcomes: (wanted: readonly number[]): IncidentOutcome[] =>
      outcomes.all(JSON.stringify(wanted)).map((row) => ({ ...row, alone: row.alone === 1 })),
    /** Newest first, by the time of opening. */
    incidents(filter: IncidentFilter): StoredIncident[] {
      const where = new Where()
        .add('host = ?', filter.host)
        .add('workload = ?', filter.workload)
        .oneOf('code', filter.codes)
        .oneOf('level', filter.levels)
        .oneOf('severity', filter.severities)
        .add('opened_at <= ?', filter.until)
        .add('(closed_at IS NULL OR closed_at >= ?)', filter.since);
      if (filter.open !== undefined) where.add(filter.open ? 'closed_at IS NULL AND ? = 1' : 'closed_at IS NOT NULL AND ? = 1', 1);
      where.add("(opened_at, position) < (SELECT opened_at, position FROM incidents WHERE host || '/' || id = ?)", filter.after);
      const sql = `SELECT host, received_at, record FROM incidents ${where.sql} ORDER BY opened_at DESC, position DESC LIMIT ?`;
      return statements.all<Row>(sql, [...where.parameters, filter.limit]).map(toIncident);
    },
    /** Those whose id begins so, newest first. */
    incidentsById: (prefix: string, limit: number): StoredIncident[] =>
      /^[\w-]+$/.test(prefix) ? byPrefix.all(`${prefix}*`, limit).map(toIncident) : [],
    /** zstd; null: it has not come, or there is none. */
    incidentEvidence: (host: string, id: string, name: string): Buffer | null => body.get(host, id, name)?.body ?? null,
  };
}

/**
 * With one commit, beginning with what came last; the others go with the next ones. An honest agent leaves one open. Documents are up
 * to a megabyte: somebody who has opened hundreds would keep the writing thread from all others for as long as it takes to close them.
 */
const supersededMax = 4;

/** With one commit, of a host that is forgotten: at least one, and no further one beyond these bytes. */
const closedAtOnce = { count: 64, bytes: 4 * 1024 * 1024 };

export function incidentWrites(db: Database) {
  const known = db.prepare<[string, string], { revision: number }>('SELECT revision FROM incidents WHERE host = ? AND id = ?');
  const put = db.prepare(
    `INSERT INTO incidents (host, id, revision, opened_at, closed_at, received_at, workload, code, level, severity, record)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (host, id) DO UPDATE SET revision = excluded.revision, opened_at = excluded.opened_at, closed_at = excluded.closed_at,
       received_at = excluded.received_at, workload = excluded.workload, code = excluded.code, level = excluded.level, severity = excluded.severity, record = excluded.record`,
  );
  // In the order of the index: however many there are, it looks at so many.
  const stillOpen = db.prepare<[string, string | null, string, number, number], { record: string }>(
    `SELECT record FROM (
       SELECT record, opened_at FROM incidents
       WHERE host = ? AND workload IS ? AND closed_at IS NULL AND id <> ? ORDER BY position DESC LIMIT ?
     ) WHERE opened_at <= ?`,
  );
  const newest = db.prepare<[], number | null>('SELECT max(position) FROM incidents').pluck();
  // In no order, so that nothing is sorted: what is closed has left the index.
  const openOf = db.prepare<[string, number, number], { position: number; bytes: number }>(
    'SELECT position, length(record) AS bytes FROM incidents WHERE host = ? AND closed_at IS NULL AND position <= ? LIMIT ?',
  );
  const recordAt = db.prepare<[number], string>('SELECT record FROM incidents WHERE position = ?').pluck();
  const removeOpen = db.prepare<[number, number], IncidentPlace>(
    'DELETE FROM incidents WHERE closed_at IS NULL AND opened_at < ? AND received_at < ? RETURNING host, id, workload',
  );
  const putEvidence = db.prepare(
    'INSERT INTO incident_evidence (host, incident, name, body) VALUES (?, ?, ?, ?) ON CONFLICT (host, incident, name) DO NOTHING',
  );
  const store = (host: string, incident: Incident, receivedAt: number): void => {
    const { id, revision, openedAt, closedAt, workload, code, level } = incident;
    const [opened, closed] = [wholeMs(openedAt), closedAt === null ? null : wholeMs(closedAt)];
    put.run(host, id, revision, opened, closed, receivedAt, workload, code, level, worst(incident), JSON.stringify(incident));
  };
  return {
    /** As in store.ts. */
    commitIncident(host: string, incident: Incident, receivedAt: number): IncidentCommit | null {
      if ((known.get(host, incident.id)?.revision ?? 0) >= incident.revision) return null;
      store(host, incident, receivedAt);
      // An agent that lost its state directory cannot close what it does not know any more; only one is ever open.
      const superseded = stillOpen.all(host, incident.workload, incident.id, supersededMax, incident.openedAt).map(({ record }) => {
        const before = JSON.parse(record) as Incident;
        const closed = { ...before, closedAt: incident.openedAt, timeToRecoverMs: null };
        store(host, closed, receivedAt);
        return { host, receivedAt, incident: closed };
      });
      return { superseded };
    },
    /**
     * A host that is forgotten cannot close them. A later revision of one, from an agent that comes back, opens it again. However many
     * there are, nobody else waits for all of them.
     */
    closeIncidents(host: string, at: number, until = newest.get() ?? 0): ClosedIncidents {
      const open = openOf.all(host, until, closedAtOnce.count);
      const closed: StoredIncident[] = [];
      let bytes = 0;
      for (const next of open) {
        bytes += next.bytes;
        if (closed.length > 0 && bytes > closedAtOnce.bytes) break;
        const before = JSON.parse(recordAt.get(next.position) ?? '') as Incident;
        const incident = { ...before, closedAt: Math.max(at, before.openedAt), timeToRecoverMs: null };
        store(host, incident, at);
        closed.push({ host, receivedAt: at, incident });
      }
      return { closed, rest: closed.length < open.length || open.length === closedAtOnce.count ? until : null };
    },
    pruneOpenIncidents: (before: number): IncidentPlace[] => removeOpen.all(before, before),
    commitIncidentEvidence({ incident, item }: Pick<IncidentEvidence, 'incident' | 'item'>, host: string, body: Uint8Array): boolean {
      return putEvidence.run(host, incident, item.name, body).changes > 0;
    },
  };
}

export function outcomeOf({ host, receivedAt, incident }: StoredIncident): IncidentOutcome {
  const { id, workload, code, openedAt, closedAt, timeToRecoverMs, byHand } = incident;
  return { host, id, receivedAt, workload, code, openedAt, closedAt, alone: closedAt !== null && timeToRecoverMs !== null && !byHand };
}

/** The columns hold integers. An incident that is refused would come again and again, and every later one of its host behind it. */
const wholeMs = (at: number): number => Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.round(at)));

/** Of anything in its timeline. */
export function worst({ timeline }: Pick<Incident, 'timeline'>): Severity {
  return severities[Math.max(0, ...timeline.map(({ severity }) => severities.indexOf(severity)))] ?? 'info';
}
