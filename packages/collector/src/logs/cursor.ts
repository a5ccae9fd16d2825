/**
 * A place in the logs of a selection: every piece up to `done` has been read, and of some later ones the first `read` lines.
 * Ids of pieces never change, and a piece that was merged of others knows theirs (store/logs/parts.ts), so a cursor stays exact
 * whatever arrives and whatever is merged meanwhile.
 */
export interface LogCursor {
  readonly done: number;
  /** The file of piece `done` was sealed when it was read. */
  readonly sealed?: boolean;
  readonly partly: readonly { readonly id: number; readonly read: number }[];
}

/** `120` or `120s_3.7_4.2`: of the 3rd piece behind 120 seven lines were read, of the 4th two. */
export function encodeCursor({ done, sealed = false, partly }: LogCursor): string {
  return [`${done}${sealed ? 's' : ''}`, ...partly.map(({ id, read }) => `${id - done}.${read}`)].join('_');
}

/** Undefined when the text is no cursor of ours. */
export function decodeCursor(text: string): LogCursor | undefined {
  if (!/^\d{1,15}s?(?:_-?\d{1,15}\.\d{1,15})*$/.test(text)) return undefined;
  const [first = '', ...rest] = text.split('_');
  const done = Number.parseInt(first, 10);
  const partly = rest.map((part) => {
    const [ahead = '', read = ''] = part.split('.');
    return { id: done + Number(ahead), read: Number(read) };
  });
  return { done, ...(first.endsWith('s') ? { sealed: true } : {}), partly };
}
