/**
 * How an agent gets a token of its own, over HTTPS beside the WebSocket: `POST /agent/v1/join` with a join token, and
 * `POST /agent/v1/renew` with the token that it has. Both say whose the token is, and both answer 201 with a new one, whose life and
 * bindings the collector decides: it renews a token for the agent, host and machine alone that it was given to.
 */
import * as z from 'zod';

export const joinPath = '/agent/v1/join';
export const renewPath = '/agent/v1/renew';

/** What stands in lists, logs and events of the collector, on terminals too: nothing that one of them could take for a command. */
export const hostNameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/,
    'must be a host name of letters, digits, dots, dashes and underscores (host.name of the agent)',
  );
/** Ids of agents and machines stand beside them. */
export const idSchema = z.string().regex(/^[\u0021-\u007e]{1,128}$/, 'must be up to 128 printable characters of ASCII without blanks');

export const joinRequestSchema = z.object({
  agentId: idSchema.min(8),
  /** Hash of the machine id, as in hello. */
  machineId: idSchema,
  /** The host's name, as in hello. */
  host: hostNameSchema,
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
