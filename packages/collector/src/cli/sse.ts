/** Server-sent events (WHATWG HTML, 9.2), from text that arrives in arbitrary pieces. */
export interface SseMessage {
  readonly event: string;
  readonly data: string;
  /** The last id seen so far, also when this message has none of its own; '' before the first. */
  readonly id: string;
}

export interface SseParser {
  /** Returns the messages that `chunk` completes. */
  push(chunk: string): SseMessage[];
  /** Where to resume behind all that was returned: an id may also come without a message. */
  readonly lastId: string;
}

export function sseParser(): SseParser {
  let rest = '';
  let id = '';
  let lastId = '';
  let event = '';
  let data: string[] = [];

  const field = (line: string): void => {
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'data') data.push(value);
    else if (name === 'event') event = value;
    else if (name === 'id' && !value.includes('\0')) id = value;
  };

  const push = (chunk: string): SseMessage[] => {
    const messages: SseMessage[] = [];
    // A CR at the very end may be half of a CRLF: it waits for the next piece.
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line !== '') {
        field(line);
        continue;
      }
      if (data.length > 0) messages.push({ event: event === '' ? 'message' : event, data: data.join('\n'), id });
      lastId = id;
      event = '';
      data = [];
    }
    return messages;
  };
  return {
    push,
    get lastId() {
      return lastId;
    },
  };
}
