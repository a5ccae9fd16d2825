import type { TokenRecord } from '../../packages/collector/src/store/store.ts';

/** An agent's token that is bound to nothing, unless a test says otherwise. */
export function tokenRecord(more: Partial<TokenRecord> = {}): TokenRecord {
  return {
    id: 't',
    kind: 'agent',
    name: null,
    role: null,
    host: null,
    agentId: null,
    machineId: null,
    createdAt: 0,
    expiresAt: null,
    usesLeft: null,
    grantMs: null,
    lastUsedAt: null,
    revokedAt: null,
    parent: null,
    replaces: null,
    ...more,
  };
}
