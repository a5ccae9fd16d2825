import { carryLogsOver } from '../logs/carry-over.ts';
import type { Migration } from '../migrate.ts';

/** Logs have files of their own (store/logs). What they took here is used again by what stays. */
export const logFiles: Migration = {
  version: 3,
  prepare: carryLogsOver,
  sql: `
    DROP TABLE log_pieces;
    DROP TABLE log_totals;
    DROP TABLE segments;
  `,
};
