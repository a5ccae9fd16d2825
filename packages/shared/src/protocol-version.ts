/**
 * Which versions of the protocol a side speaks. What the other side can ignore (a new field, a new type of message) needs no new
 * number; a number changes where it cannot, such as with another form of log blocks. A version of Relight speaks its own number
 * and that of the minor version before, so that agents and collector are upgraded in any order.
 */
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
