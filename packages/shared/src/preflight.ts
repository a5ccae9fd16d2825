/**
 * What `relight-agent check` asks the collector at the agents' door: would this agent be taken? The upgrade request names the agent in a
 * header, and the collector answers it as it would the hello: refused with a problem, or let in, and the one who asks leaves. A
 * collector that does not know the header judges the token alone.
 */
import * as z from 'zod';
import { joinRequestSchema } from './join.ts';

export const preflightHeader = 'relight-preflight';

const preflightSchema = joinRequestSchema.extend({ bootId: z.string().max(128) });
export type Preflight = z.infer<typeof preflightSchema>;

export const encodePreflight = (agent: Preflight): string => encodeURIComponent(JSON.stringify(agent));

/** Null: it is none, and the request counts as one without. */
export function decodePreflight(header: string | readonly string[] | undefined): Preflight | null {
  if (typeof header !== 'string') return null;
  try {
    return preflightSchema.parse(JSON.parse(decodeURIComponent(header)));
  } catch {
    return null;
  }
}
