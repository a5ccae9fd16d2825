/** Events of the engine in our words. Pure. */
import type { EngineEvent } from './engine.ts';

/** Null for a message that is no event. Newer API versions have dropped `status`, `id` and `from`: only these are read. */
export function engineEvent(message: Readonly<Record<string, unknown>>): EngineEvent | null {
  const { Type: type, Action: action, Actor: actor, time, timeNano } = message;
  if (typeof action !== 'string') return null;
  const { ID: id, Attributes: attributes } = (actor ?? {}) as { ID?: string; Attributes?: Record<string, string> };
  return {
    type: type === 'container' || type === 'image' ? type : 'other',
    action,
    id: id ?? '',
    attributes: attributes ?? {},
    at: typeof timeNano === 'number' ? Math.floor(timeNano / 1e6) : Number(time) * 1_000,
  };
}

/**
 * What is asked for. Each exec is three events more, and a health check is one every few seconds of every container of the host:
 * nobody here waits for them, and each wakes the agent.
 */
export const eventFilters = {
  type: ['container', 'image'],
  event: 'create start die oom kill stop restart pause unpause rename destroy pull load import tag build'.split(' '),
};

/** The `since` of a subscription: seconds with nanoseconds, as the engine reads it. */
export const sinceNow = (nowMs: number): string => `${Math.floor(nowMs / 1_000)}.${String(nowMs % 1_000).padStart(3, '0')}000000`;
