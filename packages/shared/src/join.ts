/**
 * How an agent gets a token of its own, over HTTPS beside the WebSocket: `POST /agent/v1/join` with a join token, and
 * `POST /agent/v1/renew` with the token that it has. Both say whose the token is, and both answer 201 with a new one, whose life and
 * bindings the collector decides: it renews a token for the agent, host and machine alone that it was given to.
 */
import { z } from 'zod';

export const joinPath = '/agent/v1/join';
export const renewPath = '/agent/v1/renew';

export const joinRequestSchema = z.strictObject({
  agentId: z.string().min(8).max(128),
  /** Hash of the machine id, as in hello. */
  machineId: z.string().min(1).max(128),
  /** The host's name, as in hello. */
  host: z.string().min(1).max(253),
});
export type JoinRequest = z.infer<typeof joinRequestSchema>;

export const agentCredentialSchema = z.object({
  token: z.string().min(1),
  tokenId: z.string(),
  /** The only host that it speaks for. */
  host: z.string(),
  /** Epoch milliseconds, by the collector's clock. */
  issuedAt: z.number(),
  expiresAt: z.number(),
});
export type AgentCredential = z.infer<typeof agentCredentialSchema>;
