import { StringDecoder } from 'node:string_decoder';
import { RelightError } from '@relight/shared/errors';

/** One JSON object per line from chunks that end anywhere, also within a character. Fails with engine-error on anything else. */
export async function* jsonLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Readonly<Record<string, unknown>>> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield parse(line);
  }
  if (rest.trim() !== '') yield parse(rest);
}

function parse(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    throw new RelightError('engine-error', `the engine sent a line that is not JSON: ${line.slice(0, 200)}`, { cause: error });
  }
  throw new RelightError('engine-error', `the engine sent a line that is no object: ${line.slice(0, 200)}`);
}
