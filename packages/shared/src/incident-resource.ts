/** An incident as everybody sees it: the collector's API, and the agent's own command on its host. */
import { isoTime, isoTimeOrNull, type ApiIncident } from './api.ts';
import type { Incident } from './incident.ts';

/** `texts`: what the evidence says, by name; without it, it is a list's. */
export function incidentResource(host: string, incident: Incident, texts: ReadonlyMap<string, string> | null = null): ApiIncident {
  const { openedAt, closedAt, failedAt, timeline, evidence, ...rest } = incident;
  return {
    ...rest,
    host,
    openedAt: isoTime(openedAt),
    closedAt: isoTimeOrNull(closedAt),
    failedAt: isoTime(failedAt),
    timeline: timeline.map(({ at, generation, ...entry }) => ({ ...entry, at: isoTime(at), generation: generation ?? null })),
    evidence: evidence.map(({ at, truncatedBytes, error, ...item }) => ({
      ...item,
      at: isoTime(at),
      truncatedBytes: truncatedBytes ?? null,
      error: error ?? null,
      ...(texts === null ? {} : { text: texts.get(item.name) ?? null }),
    })),
  };
}
