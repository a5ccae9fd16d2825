/** Data directories as earlier versions have left them, with something in every table. */
import { openForWriting } from './database.ts';
import { migrate, migrations } from './migrate.ts';

/** As a text: what must still be there, word for word, after an upgrade. */
export type Rows = Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;

const json = JSON.stringify;
const host = { name: 'h', id: 'agent-0001', state: 'connected', labels: { pool: 'v5e' } };
const alert = {
  id: 'alert-1',
  rule: 'host-dead',
  severity: 'critical',
  host: 'h',
  workload: null,
  state: 'firing',
  startsAt: 5,
  labels: {},
};

const filling = `
  INSERT INTO hosts VALUES ('h', '${json(host)}');
  INSERT INTO fenced_agents VALUES ('h', 'agent-0000', 3);
  INSERT INTO epochs VALUES ('agent-0001', 'epoch-1', 1, 5);
  INSERT INTO events VALUES (1, 4, 5, 'h', 'w', 2, 'process.exited', 'warning', 'it ended', '{"exitCode":1}');
  INSERT INTO alerts VALUES (1, 'alert-1', 'firing', 'h', NULL, '${json(alert)}');
  INSERT INTO notifications VALUES (1, 'http://sink', '{}', 5, 2, 6);
  INSERT INTO tokens VALUES ('op', x'01', 'operator', NULL, 1, 2, NULL), ('ag', x'02', 'agent', 'h', 1, NULL, 9);
  INSERT INTO incidents VALUES (1, 'h', 'incident-1', 1, 4, NULL, 5, 'w', 'process-exited', 'process', 'warning', '{"id":"incident-1"}');
  INSERT INTO incident_evidence VALUES (1, 'h', 'incident-1', 'log:1', x'28b52ffd');
`;

/** Schema 3: the last one before tokens had roles. `events` more of them, of a KiB each. */
export function makeSchema3(dataDir: string, events = 0): Rows {
  const db = openForWriting(dataDir);
  try {
    migrate(db, 1, migrations.slice(0, 3));
    db.exec(filling);
    const more = db.prepare(`INSERT INTO events VALUES (?, 4, 5, 'h', 'w', 2, 'host.notice', 'info', ?, '{}')`);
    db.transaction(() => {
      for (let index = 0; index < events; index += 1) more.run(index + 2, `${index} `.padEnd(1_024, 'x'));
    })();
  } finally {
    db.close();
  }
  return rowsOf(dataDir);
}

/** Every row of every table. */
export function rowsOf(dataDir: string): Rows {
  const db = openForWriting(dataDir);
  try {
    const tables = db.prepare<[], { name: string }>(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).all();
    return Object.fromEntries(tables.map(({ name }) => [name, db.prepare<[], Record<string, unknown>>(`SELECT * FROM ${name}`).all()]));
  } finally {
    db.close();
  }
}
