/** Splitting text into words as a POSIX shell does, without any expansion: what Compose does with `command: "a 'b c'"`. */

/** Undefined: a quote is never closed. Backslashes in double quotes escape only `"`, `\`, `$`, a backquote and a newline. */
export function splitShellWords(text: string): readonly string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote: '"' | "'" | undefined;
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charAt(i);
    const next = text.charAt(i + 1);
    if (quote === undefined && /\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (quote === undefined && (char === '"' || char === "'")) {
      quote = char;
      word ??= '';
    } else if (char === quote) {
      quote = undefined;
    } else if (char === '\\' && (quote === undefined || (quote === '"' && /["\\$`\n]/.test(next)))) {
      word = (word ?? '') + (next === '\n' ? '' : next);
      i += 1;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (quote !== undefined) return undefined;
  return word === undefined ? words : [...words, word];
}
