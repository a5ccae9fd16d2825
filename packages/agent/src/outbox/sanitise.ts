import { agentEventSchema, type AgentEvent, type NewAgentEvent } from '@relight/shared/event';

/** Events travel up to 200 in one message of at most 1 MiB; one that is larger than this loses its data. */
const eventBytesMax = 64 * 1024;
const messageCharactersMax = 4096;

/**
 * An event that can be stored and sent, whatever the caller made: the queue must not fail in the middle of a recovery
 * because of a bigint in some detail. What had to be left out is said in `data`.
 */
export function sanitise(event: NewAgentEvent, seq: number, now: number): AgentEvent {
  const core = {
    ...event,
    seq,
    at: Number.isFinite(event.at) ? Math.round(event.at) : now,
    message: event.message.slice(0, messageCharactersMax),
  };
  try {
    const json = JSON.stringify(core);
    if (Buffer.byteLength(json) > eventBytesMax) return { ...core, data: { leftOut: `${json.length} characters` } };
    return agentEventSchema.parse(JSON.parse(json));
  } catch {
    return { seq, at: core.at, kind: event.kind, severity: event.severity, message: core.message, data: { leftOut: 'not JSON' } };
  }
}
