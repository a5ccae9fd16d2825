/** Stored log entries over HTTP, as they come. */
import { StringDecoder } from 'node:string_decoder';
import type { ApiLogEntry } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { unreachable, type ApiClient, type Query } from './client.ts';

/** What each network read completes. Leaving the loop ends the answer, and the work for it. */
export async function* storedLogs(client: ApiClient, query: Query): AsyncGenerator<readonly ApiLogEntry[]> {
  const response = await client.stream('logs', query);
  const decoder = new StringDecoder('utf8');
  let rest = '';
  try {
    for await (const piece of response) {
      const lines = (rest + decoder.write(piece as Buffer)).split('\n');
      rest = lines.pop() ?? '';
      yield lines.filter((line) => line !== '').map((line) => JSON.parse(line) as ApiLogEntry);
    }
    if (rest !== '') yield [JSON.parse(rest) as ApiLogEntry];
  } catch (thrown) {
    if (thrown instanceof RelightError) throw thrown;
    throw thrown instanceof SyntaxError
      ? new RelightError('protocol', `a log line is not JSON: ${thrown.message}`)
      : unreachable(client.url, thrown);
  }
}
