/**
 * A place in the logs of a selection: every piece up to `done` has been read, and of some later ones the first `read` lines.
 * Ids of pieces never change, and a piece that was merged of others knows theirs (store/logs/parts.ts), so a cursor stays exact
 * whatever arrives and whatever is merged meanwhile.
 *
 * Of who reads the newest first it says the same the other way round: every piece from `done` on has been read, and of some
 * earlier ones only the first `read` lines have not.
 */
export interface LogCursor {
  readonly newestFirst?: true;
  readonly done: number;
  /** The file of piece `done` was sealed when it was read. */
  readonly sealed?: boolean;
  readonly partly: readonly { readonly id: number; readonly read: number }[];
}

/** `120` or `120s_3.7_4.2`: of the 3rd piece behind 120 seven lines were read, of the 4th two; `n120_-3.7` with the newest first. */
export function encodeCursor({ newestFirst, done, sealed = false, partly }: LogCursor): string {
  return [`${newestFirst === true ? 'n' : ''}${done}${sealed ? 's' : ''}`, ...partly.map(({ id, read }) => `${id - done}.${read}`)].join(
    '_',
  );
}

/** Undefined when the text is no cursor of ours. */
export function decodeCursor(text: string): LogCursor | undefined {
  if (!/^n?\d{1,15}s?(?:_-?\d{1,15}\.\d{1,15})*$/.test(text)) return undefined;
  const newestFirst = text.startsWith('n');
  const [first = '', ...rest] = text.slice(newestFirst ? 1 : 0).split('_');
  const done = Number.parseInt(first, 10);
  const partly = rest.map((part) => {
    const [ahead = '', read = ''] = part.split('.');
    return { id: done + Number(ahead), read: Number(read) };
  });
  return { ...(newestFirst ? { newestFirst } : {}), done, ...(first.endsWith('s') ? { sealed: true } : {}), partly };
}
