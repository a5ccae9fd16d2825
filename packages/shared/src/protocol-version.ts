/**
 * Which versions of the protocol a side speaks. What the other side can ignore (a new field, a new type of message) needs no new
 * number; a number changes where it cannot, such as with another form of log blocks. A version of Relight speaks its own number
 * and that of the minor version before, so that agents and collector are upgraded in any order.
 */
import * as z from 'zod';
import { hostNameSchema, idSchema } from './join.ts';

export interface ProtocolRange {
  readonly oldest: number;
  readonly newest: number;
}

export const ownProtocols: ProtocolRange = { oldest: 1, newest: 1 };

/** Who says `protocol` alone speaks nothing older. */
export const protocolsOf = (hello: { readonly protocol: number; readonly protocolOldest?: number | undefined }): ProtocolRange => ({
  oldest: Math.min(hello.protocolOldest ?? hello.protocol, hello.protocol),
  newest: hello.protocol,
});

/** The highest that both speak; null: there is none. */
export function commonProtocol(one: ProtocolRange, other: ProtocolRange): number | null {
  const highest = Math.min(one.newest, other.newest);
  return highest >= Math.max(one.oldest, other.oldest) ? highest : null;
}

/** Says of both sides what they speak, and which of them is behind. At most 123 bytes, the most that a close frame can say. */
export function protocolsApart(agent: ProtocolRange, collector: ProtocolRange): string {
  const behind = agent.newest < collector.newest ? 'agent' : 'collector';
  return `the agent speaks protocol ${rangeText(agent)}, the collector ${rangeText(collector)}: upgrade the ${behind}`;
}

const rangeText = ({ oldest, newest }: ProtocolRange): string => (oldest === newest ? `${newest}` : `${oldest} to ${newest}`);

/** What a first message says of itself, whatever else a later protocol makes of it. */
const greetingSchema = z.object({
  type: z.enum(['hello', 'welcome']),
  protocol: z.number().int().positive(),
  protocolOldest: z.number().int().positive().optional().catch(undefined),
  host: hostNameSchema.nullable().catch(null),
  version: idSchema.nullable().catch(null),
});

export interface Greeting {
  readonly type: 'hello' | 'welcome';
  readonly protocols: ProtocolRange;
  /** Null: not said, or not to be shown to anybody. */
  readonly host: string | null;
  readonly version: string | null;
}

/** Null: `text` is no hello and no welcome of any version. */
export function greetingIn(text: string): Greeting | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return null;
  }
  const { success, data } = greetingSchema.safeParse(json);
  return success ? { type: data.type, protocols: protocolsOf(data), host: data.host, version: data.version } : null;
}
