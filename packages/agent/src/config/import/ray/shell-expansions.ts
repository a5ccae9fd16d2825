/** What a shell would expand in a command text, found without expanding anything. */

type Quotes = 'none' | 'single' | 'double';

/** The text with each character that no backslash escapes replaced by what `rewrite` makes of it; `quotes`: those that it stands in. */
function rewritten(text: string, rewrite: (char: string, at: number, quotes: Quotes) => string): string {
  let out = '';
  let quotes: Quotes = 'none';
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charAt(i);
    if (char === '\\' && quotes !== 'single') {
      out += text.slice(i, i + 2);
      i += 1;
      continue;
    }
    if (char === "'" && quotes !== 'double') quotes = quotes === 'single' ? 'none' : 'single';
    if (char === '"' && quotes !== 'single') quotes = quotes === 'double' ? 'none' : 'double';
    out += rewrite(char, i, quotes);
  }
  return out;
}

/** Each shell expansion (`$`, a backquote, a leading `~`) outside single quotes marked by `mark` in front. */
export const markExpansions = (text: string, mark: string): string =>
  rewritten(text, (char, at, quotes) => {
    const tilde = char === '~' && quotes === 'none' && (at === 0 || /\s/.test(text.charAt(at - 1)));
    const expands = quotes !== 'single' && (char === '`' || (char === '$' && /[\w({@*#?!-]/.test(text.charAt(at + 1))));
    return tilde || expands ? mark + char : char;
  });

/** `~/` in double quotes as `$HOME/`: Ray puts the home directory in there before any shell sees the text. */
export const expandQuotedHome = (text: string): string =>
  rewritten(text, (char, at, quotes) => (quotes === 'double' && text.startsWith('~/', at) ? '$HOME' : char));
