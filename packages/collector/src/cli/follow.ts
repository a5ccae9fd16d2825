/** Follows one of the collector's event streams for as long as it takes: over lost connections and restarts of the collector. */
import type { IncomingMessage } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { delay, type Clock } from '@relight/shared/clock';
import { RelightError, errorMessage } from '@relight/shared/errors';
import { formatDurationMs } from '@relight/shared/units';
import { unreachable, type ApiClient, type Query } from './client.ts';
import { sseParser, type SseMessage } from './sse.ts';

export interface FollowOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Begin behind this message. */
  readonly lastId?: string;
  /** A connection that says nothing for so long is taken for lost; default three of the collector's keep-alives. */
  readonly silenceMsMax?: number;
  /** Called once for every connection that is lost, and once when it is back. */
  readonly onLost: (error: RelightError) => void;
  readonly onBack: () => void;
}

export interface Batch {
  readonly messages: readonly SseMessage[];
  /** 1, 2, 3 …: behind a lost connection, what was seen before it may come again. */
  readonly connection: number;
}

const silenceMsDefault = 45_000;
const retryMsFirst = 250;
const retryMsMax = 5_000;

/**
 * Yields what each network read completes, so that a slow consumer slows the server down. The first connection must
 * succeed (else: collector-unreachable and what the API refuses); later ones are tried for ever, unless the API refuses.
 */
export async function* follow(client: ApiClient, path: string, query: Query, options: FollowOptions): AsyncGenerator<Batch> {
  let lastId = options.lastId ?? '';
  let connection = 0;
  let retryMs = retryMsFirst;
  for (;;) {
    let lost: RelightError;
    try {
      const response = await client.stream(path, query, lastId === '' ? {} : { 'last-event-id': lastId }, options.signal);
      if (connection > 0) options.onBack();
      connection += 1;
      endWhenSilent(response, options.silenceMsMax ?? silenceMsDefault);
      retryMs = retryMsFirst;
      const parser = sseParser();
      const decoder = new StringDecoder('utf8');
      for await (const piece of response) {
        const messages = parser.push(decoder.write(piece as Buffer));
        if (messages.length > 0) yield { messages, connection };
        if (parser.lastId !== '') lastId = parser.lastId;
      }
      lost = new RelightError('collector-unreachable', `the collector at ${client.url} closed the stream`);
    } catch (thrown) {
      if (options.signal.aborted) return;
      lost = thrown instanceof RelightError ? thrown : unreachable(client.url, thrown);
    }
    if (options.signal.aborted) return;
    if (connection === 0 || !mayPass(lost)) throw lost;
    if (retryMs === retryMsFirst) options.onLost(lost);
    try {
      await delay(options.clock, retryMs, options.signal);
    } catch {
      return;
    }
    retryMs = Math.min(retryMs * 2, retryMsMax);
  }
}

/** The network can lose a connection without a word to either side. Silence while we ourselves are slow to read means nothing. */
function endWhenSilent(response: IncomingMessage, silenceMs: number): void {
  response.setTimeout(silenceMs, () => {
    if (response.readableLength === 0) response.destroy(new Error(`silent for ${formatDurationMs(silenceMs)}`));
  });
}

/** Not worth another try: wrong token, wrong filter, no such thing. */
function mayPass(error: RelightError): boolean {
  const status = error.data['status'];
  return typeof status !== 'number' || status >= 500 || status === 429;
}

/** The notices that every follower gives. */
export function followNotices(note: (text: string) => void): Pick<FollowOptions, 'onLost' | 'onBack'> {
  return {
    onLost: (error) => note(`relight: ${error.message}; trying again`),
    onBack: () => note('relight: connected again'),
  };
}

/** The JSON of one message. Fails with protocol. */
export function parseData(message: SseMessage): unknown {
  try {
    return JSON.parse(message.data);
  } catch (thrown) {
    throw new RelightError('protocol', `a ${message.event} message is not JSON: ${errorMessage(thrown)}`, { cause: thrown });
  }
}
