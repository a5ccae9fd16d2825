/**
 * The victim of migrate.test.ts: is killed with -9 by the last statement of a migration, when all the others have run and nothing is
 * committed. Argument: a data directory with schema 3.
 */
import { openForWriting } from './database.ts';
import { migrate, migrations } from './migrate.ts';

const [dataDir = ''] = process.argv.slice(2);
const db = openForWriting(dataDir);
db.function('killed', () => process.kill(process.pid, 'SIGKILL'));
// A program waits for its own SIGKILL outside of SQLite, too.
const steps = migrations.map((step) => (step.version === 4 ? { ...step, sql: `${step.sql}; UPDATE tokens SET name = killed();` } : step));
migrate(db, 1, steps);
