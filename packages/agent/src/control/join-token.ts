/** The join token of `join` and `setup`: from the command line, or from where no `ps` and no shell history shows it. */
import { readBounded } from '@relight/shared/bounded-read';
import { RelightError, errorMessage } from '@relight/shared/errors';
import type { Readable } from 'node:stream';

export interface JoinTokenFlags {
  readonly tokenFile?: string;
}

type Input = Readable & { readonly isTTY?: boolean; unref?(): void };

/** What a join token is read up to: a wrong file may be of any size, and have no end. */
const bytesMax = 1_024;

/** `given`: the token, or `-` for the first line of `input`. Fails with usage; never shows what it has read. */
export async function readJoinToken(
  given: string | undefined,
  { tokenFile }: JoinTokenFlags,
  input: Input = process.stdin,
): Promise<string> {
  if (given !== undefined && tokenFile !== undefined) {
    throw new RelightError('usage', 'the join token is given twice, as a word and with --token-file', { advice: 'Leave one of them out.' });
  }
  if (tokenFile !== undefined) return token(await readFirst(tokenFile), tokenFile);
  if (given === undefined) {
    throw new RelightError('usage', 'no join token is given', {
      advice: 'Add it behind the address, or --token-file FILE, or - and write it to stdin.',
    });
  }
  if (given !== '-') return given;
  if (input.isTTY === true) process.stderr.write('Join token: ');
  return token(await firstLine(input), 'stdin');
}

async function readFirst(file: string): Promise<string> {
  try {
    return String(await readBounded(file, bytesMax));
  } catch (cause) {
    throw new RelightError('usage', `--token-file: ${file} cannot be read: ${errorMessage(cause)}`, {
      cause,
      advice: 'Write the join token there, for root alone: install -m 600 /dev/stdin FILE.',
    });
  }
}

/** What is behind it stays to be read, and `input` open: setup asks its questions on the same terminal. */
async function firstLine(input: Input): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let bytes = Buffer.alloc(0);
  const finish = (): void => resolve(bytes.toString('latin1'));
  const take = (piece: Buffer | string): void => {
    bytes = Buffer.concat([bytes, Buffer.from(piece)]);
    const line = /^\s*(\S[^\n]*)\n/.exec(bytes.toString('latin1', 0, bytesMax))?.[1];
    if (line === undefined) {
      if (bytes.length > bytesMax) finish();
      return;
    }
    resolve(line);
    input.pause();
    const rest = bytes.subarray(bytes.indexOf(line, 0, 'latin1') + line.length + 1);
    if (rest.length > 0) input.unshift(rest);
  };
  input.on('data', take).once('end', finish).once('error', reject);
  try {
    return await promise;
  } finally {
    input.off('data', take).off('end', finish).off('error', reject).pause();
    // A pipe that its writer leaves open would hold this program up. A terminal may be asked more.
    if (input.isTTY !== true) input.unref?.();
  }
}

function token(text: string, from: string): string {
  const found = text.trim();
  if (found.length <= bytesMax && /^rlj_[\w-]+$/.test(found)) return found;
  throw new RelightError('usage', `what ${from} holds is no join token: one begins with rlj_, and stands there alone`, {
    advice: 'Make one on the collector: relight-collector token create --kind join.',
  });
}
