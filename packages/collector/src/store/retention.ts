/** Removes what is too old or too much, a slice at a time, so that no commit waits long behind it. */
import type { Database } from 'better-sqlite3';

export interface RetentionLimits {
  /** Epoch milliseconds of receipt. */
  readonly eventsBefore: number;
  readonly logsBefore: number;
  /** Compressed bytes of all pieces together. */
  readonly logsBytesMax: number;
}

const eventsPerSlice = 5_000;
/** A piece is tens of kilobytes. */
const piecesPerSlice = 500;

interface PieceSize {
  readonly id: number;
  readonly bytes: number;
}

export function retentionWrites(db: Database) {
  const oldEvents = db.prepare('DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < ? ORDER BY received_at LIMIT ?)');
  const oldPieces = db.prepare<[number, number], PieceSize>(
    'SELECT id, bytes FROM log_pieces WHERE received_at < ? ORDER BY received_at LIMIT ?',
  );
  const oldestPieces = db.prepare<[number], PieceSize>('SELECT id, bytes FROM log_pieces ORDER BY id LIMIT ?');
  const total = db.prepare<[], { bytes: number }>('SELECT bytes FROM log_totals');
  const addBytes = db.prepare('UPDATE log_totals SET bytes = bytes + ?');
  const removePiece = db.prepare('DELETE FROM log_pieces WHERE id = ?');
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
  const oldSegments = db.prepare(
    `DELETE FROM segments WHERE updated_at < ? AND EXISTS (SELECT 1 FROM segments AS later WHERE later.agent_id = segments.agent_id
     AND later.workload = segments.workload AND later.generation > segments.generation)`,
  );

  const surplus = (bytesMax: number): PieceSize[] => {
    let left = (total.get()?.bytes ?? 0) - bytesMax;
    if (left <= 0) return [];
    return oldestPieces.all(piecesPerSlice).filter(({ bytes }) => {
      const wanted = left > 0;
      left -= bytes;
      return wanted;
    });
  };

  return {
    /** One slice; call again until it removes nothing. */
    pruneSlice(limits: RetentionLimits): { events: number; pieces: number } {
      const events = oldEvents.run(limits.eventsBefore, eventsPerSlice).changes;
      const tooOld = oldPieces.all(limits.logsBefore, piecesPerSlice);
      const pieces = tooOld.length > 0 ? tooOld : surplus(limits.logsBytesMax);
      for (const { id } of pieces) removePiece.run(id);
      addBytes.run(-pieces.reduce((sum, { bytes }) => sum + bytes, 0));
      return { events, pieces: pieces.length };
    },
    pruneMarks(limits: RetentionLimits): void {
      oldAlerts.run(limits.eventsBefore);
      oldIncidents.run(limits.eventsBefore, limits.eventsBefore);
      strayEvidence.run();
      oldEpochs.run(limits.eventsBefore);
      oldSegments.run(Math.min(limits.eventsBefore, limits.logsBefore));
    },
  };
}
