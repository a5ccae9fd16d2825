/**
 * Moves logs out of relight.db, where they were before there were log files, into files of their own days. It may be
 * interrupted at any moment: what has arrived is found by its id, and nothing is taken away before all of it has.
 */
import type { BlockHeader } from '@relight/shared/log-block';
import type { Gap } from '@relight/shared/protocol';
import type { Database } from 'better-sqlite3';
import { dirname } from 'node:path';
import { dayOf, logDirectory } from './file-names.ts';
import { putMarks, type Mark } from './log-file.ts';
import { LogWriter } from './log-writer.ts';

interface OldRow {
  readonly id: number;
  readonly kind: 'block' | 'gap';
  readonly received_at: number;
  readonly host: string;
  readonly header: string;
  readonly body: Buffer | null;
}

const rowsPerCommit = 200;

export function carryLogsOver(db: Database, now: number): void {
  const writer = new LogWriter({ directory: logDirectory(dirname(db.name)), onDamage: () => undefined });
  try {
    const marks = db.prepare<[], Mark>('SELECT * FROM segments').all();
    const next = db.prepare<[number, number], OldRow>(
      'SELECT id, kind, received_at, host, header, body FROM log_pieces WHERE id > ? ORDER BY id LIMIT ?',
    );
    const [first] = next.all(writer.lastId, 1);
    if (first === undefined && marks.length === 0) return;
    writer.inFile(first?.received_at ?? now, (file) => file.db.transaction(() => putMarks(file.db, marks)).immediate());
    for (let rows = next.all(writer.lastId, rowsPerCommit); rows.length > 0; rows = next.all(writer.lastId, rowsPerCommit)) {
      for (const day of byDay(rows)) {
        writer.inFile(day[0]?.received_at ?? now, (file) =>
          file.db
            .transaction(() => {
              for (const { id, kind, host, header, body, received_at: receivedAt } of day) {
                const json: unknown = JSON.parse(header);
                const piece =
                  kind === 'gap' ? { gap: json as Gap } : { block: { header: json as BlockHeader, body: body ?? new Uint8Array() } };
                file.writes.carryOver(id, host, piece, receivedAt);
              }
            })
            .immediate(),
        );
        writer.skipTo(day.at(-1)?.id ?? 0);
      }
    }
  } finally {
    writer.close();
  }
}

function byDay(rows: readonly OldRow[]): OldRow[][] {
  const days: OldRow[][] = [];
  for (const row of rows) {
    const last = days.at(-1);
    if (last?.[0] !== undefined && dayOf(last[0].received_at) === dayOf(row.received_at)) last.push(row);
    else days.push([row]);
  }
  return days;
}
