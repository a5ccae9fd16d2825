/** The join token of `join` and `setup`: from the command line, or from where no `ps` and no shell history shows it. */
import { RelightError, errorMessage } from '@relight/shared/errors';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface JoinTokenFlags {
  readonly tokenFile?: string;
}

/** What a join token is read up to: a wrong file may be of any size, and have no end. */
const lineCharactersMax = 1_024;

/** `given`: the token, or `-` for the first line of `input`. Fails with usage; never shows what it has read. */
export async function readJoinToken(
  given: string | undefined,
  { tokenFile }: JoinTokenFlags,
  input: Readable & { readonly isTTY?: boolean } = process.stdin,
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
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new RelightError('usage', `--token-file: ${file} cannot be read: ${errorMessage(cause)}`, {
      cause,
      advice: 'Write the join token there, for root alone: install -m 600 /dev/stdin FILE.',
    });
  }
}

async function firstLine(input: Readable): Promise<string> {
  const lines = createInterface({ input, crlfDelay: Infinity });
  for await (const line of lines) if (line.trim() !== '') return line;
  return '';
}

function token(text: string, from: string): string {
  const found = text.trim();
  if (found.length <= lineCharactersMax && /^rlj_[\w-]+$/.test(found)) return found;
  throw new RelightError('usage', `what ${from} holds is no join token: one begins with rlj_, and stands there alone`, {
    advice: 'Make one on the collector: relight-collector token create --kind join.',
  });
}
