/** Server-sent events as text (WHATWG HTML, 9.2). */
export interface SseMessage {
  /** Absent: no message, only an id to resume from. */
  readonly event?: string;
  readonly data?: unknown;
  readonly id?: string;
}

export function sseText({ event, data, id }: SseMessage): string {
  const head = id === undefined ? '' : `id: ${id}\n`;
  return event === undefined ? `${head}\n` : `${head}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
