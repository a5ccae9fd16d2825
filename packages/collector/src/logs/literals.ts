/**
 * What every match of an expression must contain. Read off the text of an RE2 expression that has been compiled already, so what
 * stands here need not be valid, only never wrong: whatever is not understood ends a literal or, in doubt, all of them.
 */

/** One run of characters that every match contains in this order, nothing between them. */
export interface Literal {
  readonly characters: readonly LiteralCharacter[];
  /** The literal stands at the very beginning (end) of the line. */
  readonly atStart: boolean;
  readonly atEnd: boolean;
}

export interface LiteralCharacter {
  readonly text: string;
  /** Upper and lower case are the same. */
  readonly fold: boolean;
}

/** Thrown inside and caught inside: nothing can be said of this expression. */
class Unknown extends Error {}

/** What of one expression, or one group in it, is required. */
interface Sequence {
  /** Null: whatever stands here ends a literal. */
  readonly parts: readonly Part[];
}
type Part = LiteralCharacter | 'start' | 'end' | null;

/** Empty: nothing is required, or nothing that could be found out. */
export function requiredLiterals(expression: string): readonly Literal[] {
  try {
    const { parts } = new Reader(expression).all();
    return literalsOf(parts);
  } catch (thrown) {
    if (thrown instanceof Unknown) return [];
    throw thrown;
  }
}

function literalsOf(parts: readonly Part[]): Literal[] {
  const literals: Literal[] = [];
  let characters: LiteralCharacter[] = [];
  let atStart = false;
  const end = (atEnd: boolean): void => {
    if (characters.length > 0) literals.push({ characters, atStart, atEnd });
    characters = [];
    atStart = false;
  };
  for (const part of parts) {
    if (part === 'start') {
      end(false);
      atStart = true;
    } else if (part === 'end') end(true);
    else if (part === null) end(false);
    else characters.push(part);
  }
  end(false);
  return literals;
}

const escapes: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f', v: '\v', a: '\u0007' };

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  all(): Sequence {
    const found = this.#alternatives(false);
    if (this.#at < this.#text.length) throw new Unknown();
    return found;
  }

  /** Up to the end of the group. Of several alternatives none is required. */
  #alternatives(fold: boolean): Sequence {
    const parts: Part[] = [];
    let several = false;
    for (;;) {
      const character = this.#peek();
      if (character === '' || character === ')') break;
      if (character === '|') {
        this.#at += character.length;
        several = true;
        continue;
      }
      const flags = this.#flags();
      if (flags !== null) {
        if (flags.group) {
          const inner = this.#group(flags.fold ?? fold);
          parts.push(...this.#quantified(inner));
        } else fold = flags.fold ?? fold;
      } else if (this.#take(/\(/y) !== undefined) {
        this.#take(/\?P?<[A-Za-z_]\w*>/y);
        if (this.#peek() === '?') throw new Unknown();
        parts.push(...this.#quantified(this.#group(fold)));
      } else if (this.#take(/\\Q/y) !== undefined) {
        const quoted = Array.from(this.#take(/(?:[^\\]|\\(?!E))*/y) ?? '', (text) => ({ text, fold }));
        this.#take(/\\E/y);
        const last = quoted.pop();
        // A quantifier behind nothing is that of what stands before it.
        if (last === undefined) throw new Unknown();
        parts.push(...quoted, ...this.#quantified([last]));
      } else parts.push(...this.#quantified([this.#atom(fold)]));
    }
    return { parts: several ? [null] : parts };
  }

  #group(fold: boolean): readonly Part[] {
    const { parts } = this.#alternatives(fold);
    if (this.#take(/\)/y) === undefined) throw new Unknown();
    return parts;
  }

  /** `(?i)` and `(?i:`; null: something else stands here. */
  #flags(): { readonly group: boolean; readonly fold: boolean | undefined } | null {
    const text = this.#take(/\(\?[imsU]*(?:-[imsU]+)?[:)]/y);
    if (text === undefined) return null;
    const [on = '', off = ''] = text.slice(2, -1).split('-');
    return { group: text.endsWith(':'), fold: off.includes('i') ? false : on.includes('i') ? true : undefined };
  }

  #atom(fold: boolean): Part {
    const character = this.#peek();
    this.#at += character.length;
    switch (character) {
      case '^':
        return 'start';
      case '$':
        return 'end';
      case '.':
        return null;
      case '[':
        this.#class();
        return null;
      case '\\':
        return this.#escape(fold);
      case '*':
      case '+':
      case '?':
        throw new Unknown();
      case '{':
        // Behind `(?i)` a quantifier is that of what stands before it.
        if (this.#take(/\d+(?:,\d*)?\}/y) !== undefined) throw new Unknown();
        return { text: character, fold };
      default:
        return { text: character, fold };
    }
  }

  #escape(fold: boolean): Part {
    const character = this.#peek();
    this.#at += character.length;
    if (/^[!-/:-@[-`{-~]$/.test(character)) return { text: character, fold };
    const simple = escapes[character];
    if (simple !== undefined) return { text: simple, fold };
    if (/^[dDwWsSbBC]$/.test(character)) return null;
    if (character === 'A') return 'start';
    if (character === 'z') return 'end';
    if (character === 'p' || character === 'P') {
      if (this.#take(/\{[^}]*\}|[A-Z]/y) === undefined) throw new Unknown();
      return null;
    }
    if (character === 'x') {
      const digits = this.#take(/\{[0-9A-Fa-f]{1,6}\}|[0-9A-Fa-f]{2}/y);
      const code = digits === undefined ? Number.NaN : Number.parseInt(digits.replaceAll(/[{}]/g, ''), 16);
      if (!(code <= 0x10ffff)) throw new Unknown();
      return { text: String.fromCodePoint(code), fold };
    }
    // Octal numbers, and what is no RE2.
    throw new Unknown();
  }

  /** Behind `[`. */
  #class(): void {
    if (this.#take(/\^?\]?(?:\[:\^?[a-z]+:\]|\\[^]|[^\]\\])*\]/y) === undefined) throw new Unknown();
  }

  /** What of an element is left when its quantifier, if it has one, has been read. */
  #quantified(parts: readonly Part[]): readonly Part[] {
    const quantifier = this.#take(/(?:[*+?]|\{\d+(?:,\d*)?\})\??/y);
    if (quantifier === undefined) return parts;
    // A quantifier of a quantifier: whatever it means.
    if (this.#take(/(?:[*+?]|\{\d+(?:,\d*)?\})/y) !== undefined) throw new Unknown();
    const least = quantifier.startsWith('+') ? 1 : quantifier.startsWith('{') ? Number.parseInt(quantifier.slice(1), 10) : 0;
    return least === 0 ? [null] : [null, ...parts.map((part) => (typeof part === 'string' ? null : part)), null];
  }

  #peek(): string {
    const code = this.#text.codePointAt(this.#at);
    return code === undefined ? '' : String.fromCodePoint(code);
  }

  #take(expression: RegExp): string | undefined {
    expression.lastIndex = this.#at;
    const found = expression.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
