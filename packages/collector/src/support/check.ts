/** Whether SQLite can read its files from end to end: the database, then the log files, the newest first, until the time is over. */
import type { Clock } from '@relight/shared/clock';
import type { Database } from 'better-sqlite3';
import { openForReading } from '../store/database.ts';
import { logDirectory, listLogFiles } from '../store/logs/file-names.ts';
import { openLogFileForReading } from '../store/logs/log-file.ts';
import { isDamage } from '../store/logs/schema.ts';
import { reasonOf, told, type PartRecord } from './part.ts';

const problemsMax = 20;
const name = 'check.txt';

export function* checkPieces(dataDir: string, clock: Pick<Clock, 'monotonic'>): Generator<PartRecord> {
  const found = told(() => listLogFiles(logDirectory(dataDir)));
  const logs = typeof found === 'string' ? [] : found.toSorted((a, b) => (a.name < b.name ? 1 : -1));
  const files = [
    { file: 'relight.db', open: () => openForReading(dataDir) },
    ...logs.map((log) => ({ file: `logs/${log.name}`, open: () => openLogFileForReading(log.path) })),
  ];
  yield { name, text: `quick_check of ${files.length} files, the newest first; "relight-collector verify" reads everything\n` };
  if (typeof found === 'string') yield { name, text: `logs  ${found}\n` };
  for (const { file, open } of files) {
    // Before: when it never ends, or ends this process, it is known of which file.
    yield { name, text: `${file}  ` };
    const began = clock.monotonic();
    const verdict = quickCheck(open);
    yield { name, text: `${verdict}  (${Math.round(clock.monotonic() - began)} ms)\n` };
  }
}

function quickCheck(open: () => Database): string {
  try {
    const db = open();
    try {
      const rows = db.pragma(`quick_check(${problemsMax})`) as readonly { readonly quick_check: string }[];
      const problems = rows.map(({ quick_check }) => quick_check).filter((text) => text !== 'ok');
      return problems.length === 0 ? 'ok' : ['DAMAGED', ...problems].join('\n  ');
    } finally {
      db.close();
    }
  } catch (error) {
    return `${isDamage(error) ? 'DAMAGED' : 'could not be checked'}: ${reasonOf(error)}`;
  }
}
