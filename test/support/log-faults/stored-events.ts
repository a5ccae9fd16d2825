/** What an agent's own log says of its events, against what a collector has stored of them. Pure. */
import type { ApiEvent } from '@relight/shared/api';

/** Of the agent's log, which the collector has no part in. */
export interface EmittedEvent {
  readonly at: number;
  readonly kind: string;
  readonly message: string;
}

export interface EventAccount {
  readonly missing: readonly EmittedEvent[];
  readonly doubled: readonly ApiEvent[];
}

/** Nothing for another line, and for one that was cut off by a SIGKILL. */
export function emittedEvents(log: string): readonly EmittedEvent[] {
  return log.split('\n').flatMap((line) => {
    if (!line.includes('"seq":')) return [];
    try {
      const {
        time,
        kind,
        msg: message,
      } = JSON.parse(line) as { readonly time: number | string; readonly kind?: string; readonly msg: string };
      return kind === undefined ? [] : [{ at: new Date(time).getTime(), kind, message }];
    } catch {
      return [];
    }
  });
}

/** An agent that is killed may not have logged its last ones: what is stored may be more. */
export function eventAccount(emitted: readonly EmittedEvent[], stored: readonly ApiEvent[]): EventAccount {
  const seen = new Set<string>();
  const doubled = stored.filter((event) => {
    const key = `${event.at} ${keyOf(event)} ${event.workload ?? ''}`;
    const again = seen.has(key);
    seen.add(key);
    return again;
  });
  const there = new Map<string, number>();
  for (const event of stored) there.set(keyOf(event), (there.get(keyOf(event)) ?? 0) + 1);
  const missing = emitted.toReversed().filter((event) => {
    const left = there.get(keyOf(event)) ?? 0;
    there.set(keyOf(event), left - 1);
    return left <= 0;
  });
  return { missing: missing.toReversed(), doubled };
}

const keyOf = ({ kind, message }: { readonly kind: string; readonly message: string }): string => `${kind}: ${message}`;
