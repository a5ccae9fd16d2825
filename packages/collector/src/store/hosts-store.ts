/** Hosts as one JSON record each, and the agents that may no longer speak for a host. */
import type { Database } from 'better-sqlite3';
import type { HostRecord } from './store.ts';

export function hostReads(db: Database) {
  const all = db.prepare<[], { record: string }>('SELECT record FROM hosts ORDER BY name');
  const fenced = db.prepare<[], { host: string; agent: string }>('SELECT host, agent_id AS agent FROM fenced_agents ORDER BY at');
  return {
    hosts: (): HostRecord[] => all.all().map((row) => JSON.parse(row.record) as HostRecord),
    /** Of each host those that were fenced first come first. */
    fencedAgents: (): { host: string; agent: string }[] => fenced.all(),
  };
}

export function hostWrites(db: Database) {
  const put = db.prepare('INSERT INTO hosts (name, record) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET record = excluded.record');
  const remove = db.prepare('DELETE FROM hosts WHERE name = ?');
  const fence = db.prepare('INSERT OR REPLACE INTO fenced_agents (host, agent_id, at) VALUES (?, ?, ?)');
  const unfenceOthers = db.prepare('DELETE FROM fenced_agents WHERE host = ? AND agent_id NOT IN (SELECT value FROM json_each(?))');
  const unfence = db.prepare('DELETE FROM fenced_agents WHERE host = ?');
  return {
    putHost(name: string, record: string): void {
      put.run(name, record);
    },
    deleteHost(name: string): boolean {
      unfence.run(name);
      return remove.run(name).changes > 0;
    },
    /** The last of them now; those that are none of them no longer. */
    fenceAgents(host: string, agentIds: readonly string[], at: number): void {
      unfenceOthers.run(host, JSON.stringify(agentIds));
      fence.run(host, agentIds.at(-1), at);
    },
  };
}
