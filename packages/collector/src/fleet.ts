/**
 * The living fleet: sessions, watches and actions, as the API sees them. Implementation: ingest/ and liveness/, wired in
 * app.ts.
 */
import type { Action } from '@relight/shared/protocol';
import type { HostRecord } from './store/store.ts';

export interface WatchSelector {
  readonly host?: string;
  readonly workload?: string;
  readonly source?: string;
}

export interface Fleet {
  hosts(): readonly HostRecord[];
  host(name: string): HostRecord | undefined;
  /** Pre-registers a host: state `expected` until it arrives. Does nothing to a known host but set its deadline. */
  expect(name: string, labels: Readonly<Record<string, string>>, expectedBy: number): Promise<HostRecord>;
  /** Forgets a host, its events and logs are kept. Fails with conflict while it is connected; false: unknown. */
  forget(name: string): Promise<boolean>;
  /** Sends an action and resolves with the agent's answer. Fails with not-found, host-not-connected, action-refused, stage-timeout. */
  act(host: string, action: Omit<Action, 'type' | 'id'>): Promise<{ readonly ok: boolean; readonly message: string }>;
  /** Someone is tailing: agents that match flush at once, until disposed. */
  watch(selector: WatchSelector): { dispose(): void };
}
