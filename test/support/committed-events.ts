/** What the collector says of its own accord that it has of an agent's events: of each life of the agent's outbox the highest number. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';

export interface CommittedEpoch {
  readonly epoch: string;
  readonly seq: number;
}

/** In the order of these lives. `directory`: of the lab. */
export function committedEpochs(directory: string, { stateDir }: { readonly stateDir: string }): readonly CommittedEpoch[] {
  const { agentId } = JSON.parse(readFileSync(join(stateDir, 'identity.json'), 'utf8')) as { readonly agentId: string };
  const database = new Database(join(directory, 'collector/relight.db'), { readonly: true });
  try {
    // One is told to its end before the next begins.
    const epochs = database.prepare<[string], CommittedEpoch>('SELECT epoch, seq FROM epochs WHERE agent_id = ? ORDER BY updated_at');
    return epochs.all(agentId);
  } finally {
    database.close();
  }
}

/** Where an event stands among all that an agent has told, counted from 0; NaN: the collector knows nothing of its epoch. */
export function placeAmong(epochs: readonly CommittedEpoch[], { epoch, seq }: CommittedEpoch): number {
  const index = epochs.findIndex((one) => one.epoch === epoch);
  return index < 0 ? Number.NaN : epochs.slice(0, index).reduce((sum, one) => sum + one.seq, 0) + seq - 1;
}

export const isCommitted = (epochs: readonly CommittedEpoch[], { epoch, seq }: CommittedEpoch): boolean =>
  epochs.some((one) => one.epoch === epoch && one.seq >= seq);
