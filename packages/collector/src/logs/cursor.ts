/**
 * A place in the logs of a selection: every piece up to `done` has been read, and of some later ones the first `read` lines.
 * Ids of pieces never change, so a cursor stays exact whatever arrives meanwhile.
 */
export interface LogCursor {
  readonly done: number;
  readonly partly: readonly { readonly id: number; readonly read: number }[];
}

/** `120` or `120_3.7_4.2`: of the 3rd piece behind 120 seven lines were read, of the 4th two. */
export function encodeCursor({ done, partly }: LogCursor): string {
  return [done, ...partly.map(({ id, read }) => `${id - done}.${read}`)].join('_');
}

/** Undefined when the text is no cursor of ours. */
export function decodeCursor(text: string): LogCursor | undefined {
  if (!/^\d{1,15}(?:_\d{1,15}\.\d{1,15})*$/.test(text)) return undefined;
  const [first = '', ...rest] = text.split('_');
  const done = Number(first);
  const partly = rest.map((part) => {
    const [ahead = '', read = ''] = part.split('.');
    return { id: done + Number(ahead), read: Number(read) };
  });
  return { done, partly };
}
