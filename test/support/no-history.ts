import type { OutboxHistory } from '../../packages/agent/src/outbox/telling.ts';

/** Of an outbox that nobody has ever written to. */
export const noHistory: OutboxHistory = { position: { epoch: 'none', seq: 0 }, since: () => null };
