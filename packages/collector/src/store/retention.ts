/** Removes what is too old from relight.db, a slice at a time, so that no commit waits long behind it. Logs: logs/log-retention.ts. */
import type { Database } from 'better-sqlite3';

export interface RetentionLimits {
  /** Epoch milliseconds of receipt. */
  readonly eventsBefore: number;
}

const eventsPerSlice = 5_000;

export function retentionWrites(db: Database) {
  const oldEvents = db.prepare('DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < ? ORDER BY received_at LIMIT ?)');
  const oldIncidents = db.prepare('DELETE FROM incidents WHERE opened_at < ? AND received_at < ?');
  const strayEvidence = db.prepare(
    `DELETE FROM incident_evidence WHERE position IN (SELECT evidence.position FROM incident_evidence AS evidence
     LEFT JOIN incidents ON incidents.host = evidence.host AND incidents.id = evidence.incident WHERE incidents.id IS NULL)`,
  );
  const oldAlerts = db.prepare(`DELETE FROM alerts WHERE state = 'resolved' AND json_extract(record, '$.endsAt') < ?`);
  // A high-water mark must outlive everything that could still arrive for it: only a newer epoch or generation frees it.
  const oldEpochs = db.prepare(
    `DELETE FROM epochs WHERE updated_at < ?
     AND EXISTS (SELECT 1 FROM epochs AS later WHERE later.agent_id = epochs.agent_id AND later.updated_at > epochs.updated_at)`,
  );

  return {
    /** One slice; call again until it removes nothing. */
    pruneEvents: ({ eventsBefore }: RetentionLimits): number => oldEvents.run(eventsBefore, eventsPerSlice).changes,
    pruneRest(limits: RetentionLimits): void {
      oldAlerts.run(limits.eventsBefore);
      oldIncidents.run(limits.eventsBefore, limits.eventsBefore);
      strayEvidence.run();
      oldEpochs.run(limits.eventsBefore);
    },
  };
}
