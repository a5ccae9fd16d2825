/** Every write there is: those of relight.db here, those of the log files in logs/log-writer.ts. */
import type { Database } from 'better-sqlite3';
import { alertWrites } from './alert-store.ts';
import { auditWrites } from './audit-store.ts';
import { eventWrites } from './events-store.ts';
import type { Command } from './group-commit.ts';
import { hostWrites } from './hosts-store.ts';
import { incidentWrites } from './incident-store.ts';
import type { FileWrites } from './logs/file-writes.ts';
import type { LogUpkeep } from './logs/log-upkeep.ts';
import { notificationWrites } from './notification-store.ts';
import { retentionWrites } from './retention.ts';
import { tokenWrites } from './token-store.ts';

export function createWrites(db: Database) {
  return {
    ...hostWrites(db),
    ...eventWrites(db),
    ...incidentWrites(db),
    ...alertWrites(db),
    ...notificationWrites(db),
    ...tokenWrites(db),
    ...auditWrites(db),
    ...retentionWrites(db),
    /** The transaction around it is what is asked for. */
    proveWriting: (): void => {},
  };
}
export type MainWrites = ReturnType<typeof createWrites>;
export type Writes = MainWrites & Pick<FileWrites, 'commitBlock' | 'commitGap'> & LogUpkeep;
export type AnyCommand = Command<Writes>;
