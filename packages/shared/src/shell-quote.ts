/** For people: the words as one would type them in a POSIX shell, which makes nothing else of what stands in them. */
export function quoteShellWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`)).join(' ');
}
