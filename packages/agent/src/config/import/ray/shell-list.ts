/**
 * Where a shell command text falls apart at its top level: `a && b || c; d` → four parts. Quotes, substitutions, groups and compound
 * commands (for, if, while, case) stay whole. No expansion: each part is a slice of the text, byte for byte.
 */

export interface ShellPart {
  /** Without the blanks around it. */
  readonly text: string;
  /** What stands between this part and the next; '' after the last. */
  readonly operator: '' | ';' | '&' | '&&' | '||' | '|' | '|&';
  /** Of `text` in the whole, `end` exclusive. */
  readonly start: number;
  readonly end: number;
}

const openers = new Set(['if', 'for', 'while', 'until', 'case', 'select', '{']);
const closers = new Set(['fi', 'done', 'esac', '}']);
/** After these a command begins again. */
const leaders = new Set(['if', 'while', 'until', 'do', 'then', 'else', 'elif', '{', '!', 'time']);

/** Null: it holds something that is not followed here (a here-document, a quote that is never closed). */
export function splitShellList(text: string): readonly ShellPart[] | null {
  const parts: ShellPart[] = [];
  let from = 0;
  let depth = 0;
  let word = '';
  let commandPosition = true;
  const endWord = (): void => {
    if (word === '') return;
    if (commandPosition && openers.has(word)) depth += 1;
    if (commandPosition && closers.has(word)) depth = Math.max(0, depth - 1);
    commandPosition = commandPosition && leaders.has(word);
    word = '';
  };
  const cut = (at: number, operator: ShellPart['operator']): void => {
    const slice = text.slice(from, at);
    const start = from + (slice.length - slice.trimStart().length);
    const trimmed = slice.trim();
    if (trimmed !== '') parts.push({ text: trimmed, operator, start, end: start + trimmed.length });
    from = at + Math.max(1, operator.length);
  };
  for (let i = 0; i < text.length;) {
    const skipped = skipQuoted(text, i);
    if (skipped === null) return null;
    if (skipped > i) {
      word += text.slice(i, skipped);
      i = skipped;
      continue;
    }
    const char = text.charAt(i);
    if (text.startsWith('<<<', i)) {
      i += 3;
      continue;
    }
    if (text.startsWith('<<', i)) return null;
    if (char === '#' && word === '') {
      while (i < text.length && text.charAt(i) !== '\n') i += 1;
      continue;
    }
    // `2>&1`, `&>file`: no operator between commands.
    const redirection = char === '&' && (text.charAt(i - 1) === '>' || text.charAt(i - 1) === '<' || text.charAt(i + 1) === '>');
    const operator = redirection ? undefined : operatorAt(text, i);
    if (operator !== undefined) {
      endWord();
      commandPosition = true;
      if (depth === 0) cut(i, operator === '\n' ? ';' : operator);
      i += operator.length;
      continue;
    }
    if (/\s/.test(char)) endWord();
    else word += char;
    i += 1;
  }
  endWord();
  cut(text.length, '');
  return parts;
}

function operatorAt(text: string, at: number): Exclude<ShellPart['operator'], ''> | '\n' | undefined {
  const two = text.slice(at, at + 2);
  if (two === '&&' || two === '||' || two === '|&') return two;
  const one = text.charAt(at);
  return one === ';' || one === '|' || one === '&' || one === '\n' ? one : undefined;
}

/** The end of what begins at `at` and must stay whole; `at` itself when nothing does; null when it never ends. */
function skipQuoted(text: string, at: number): number | null {
  const char = text.charAt(at);
  if (char === '\\') return Math.min(text.length, at + 2);
  if (char === "'") return after(text, text.indexOf("'", at + 1));
  if (char === '`') return after(text, text.indexOf('`', at + 1));
  if (char === '"') return doubleQuoted(text, at);
  if (text.startsWith('${', at)) return balanced(text, at + 1, '{', '}');
  if (char === '(' || text.startsWith('$(', at)) return balanced(text, text.indexOf('(', at), '(', ')');
  return at;
}

const after = (text: string, end: number): number | null => (end < 0 || end >= text.length ? null : end + 1);

function doubleQuoted(text: string, at: number): number | null {
  for (let i = at + 1; i < text.length; i += 1) {
    const char = text.charAt(i);
    if (char === '"') return i + 1;
    if (char === '\\') i += 1;
    else if (char === '`' || text.startsWith('$(', i) || text.startsWith('${', i)) {
      const end = skipQuoted(text, i);
      if (end === null) return null;
      i = end - 1;
    }
  }
  return null;
}

function balanced(text: string, at: number, open: string, close: string): number | null {
  let depth = 0;
  for (let i = at; i < text.length;) {
    const char = text.charAt(i);
    if (char === open || char === close) {
      depth += char === open ? 1 : -1;
      i += 1;
      if (depth === 0) return i;
      continue;
    }
    const skipped = skipQuoted(text, i);
    if (skipped === null) return null;
    i = Math.max(skipped, i + 1);
  }
  return null;
}
