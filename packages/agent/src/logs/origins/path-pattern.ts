/**
 * Patterns of files inside a container: `*`, `?` and `[a-z]` within one name, as a shell has them; `*` does not match a name
 * that begins with a dot. Pure. Matching takes at most length × length steps, whatever a container calls its files.
 */

type Token = { readonly any: true } | { readonly star: true } | { readonly one: (char: string) => boolean };

export interface NamePattern {
  /** Set when there is no wildcard: then this is the name. */
  readonly literal: string | null;
  matches(name: string): boolean;
}

export interface PathPattern {
  readonly text: string;
  readonly names: readonly NamePattern[];
  /** How many names come before the first wildcard; the last name never counts. What follows names the stream. */
  readonly fixed: number;
}

/** A text that says what is wrong with it, or the pattern. */
export function parsePathPattern(text: string): PathPattern | string {
  if (!text.startsWith('/')) return 'must be an absolute path inside the container';
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || text.endsWith('/')) return 'must name files, not a directory';
  if (parts.includes('..')) return 'must not contain ".."';
  if (parts.some((part) => part.includes('**'))) return '"**" is not supported: write one "*" for each level of directories';
  const names: NamePattern[] = [];
  for (const part of parts) {
    const name = parseName(part);
    if (typeof name === 'string') return name;
    names.push(name);
  }
  const wild = names.findIndex(({ literal }) => literal === null);
  return { text, names, fixed: wild < 0 ? names.length - 1 : Math.min(wild, names.length - 1) };
}

function parseName(part: string): NamePattern | string {
  if (!/[*?[]/.test(part)) return { literal: part, matches: (name) => name === part };
  const tokens: Token[] = [];
  for (let at = 0; at < part.length; at += 1) {
    const char = part[at] as string;
    if (char === '*') tokens.push({ star: true });
    else if (char === '?') tokens.push({ any: true });
    else if (char === '[') {
      const close = part.indexOf(']', at + (/^\[[!^]/.test(part.slice(at)) ? 3 : 2));
      if (close < 0) return `"[" has no "]" in "${part}"`;
      tokens.push({ one: charClass(part.slice(at + 1, close)) });
      at = close;
    } else tokens.push({ one: (other) => other === char });
  }
  return { literal: null, matches: (name) => (!name.startsWith('.') || part.startsWith('.')) && matches(tokens, name) };
}

function charClass(text: string): (char: string) => boolean {
  const negated = text.startsWith('!') || text.startsWith('^');
  const body = negated ? text.slice(1) : text;
  const ranges: [from: string, to: string][] = [];
  for (let at = 0; at < body.length; at += 1) {
    const from = body[at] as string;
    const isRange = body[at + 1] === '-' && at + 2 < body.length;
    ranges.push([from, isRange ? (body[at + 2] as string) : from]);
    if (isRange) at += 2;
  }
  return (char) => ranges.some(([from, to]) => char >= from && char <= to) !== negated;
}

/** Goes back to the last star only: an earlier one has nothing to give that the last one could not take. */
function matches(tokens: readonly Token[], name: string): boolean {
  let [token, at, star, starAt] = [0, 0, -1, 0];
  while (at < name.length) {
    const current = tokens[token];
    if (current !== undefined && 'star' in current) {
      star = token;
      starAt = at;
      token += 1;
    } else if (current !== undefined && ('any' in current || current.one(name[at] as string))) {
      token += 1;
      at += 1;
    } else if (star >= 0) {
      token = star + 1;
      starAt += 1;
      at = starAt;
    } else return false;
  }
  return tokens.slice(token).every((left) => 'star' in left);
}
