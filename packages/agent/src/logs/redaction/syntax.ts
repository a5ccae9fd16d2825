/**
 * The syntax of `logs.redact`: RE2's, over bytes, without what would make matching anything but one pass. Pure. A match is
 * always the longest, so `a|ab` and `ab|a` are the same, and lazy quantifiers, which would mean nothing, are refused.
 */

/** Which bytes: 256 flags. */
export type ByteSet = Uint8Array;

export type Node =
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'cat'; readonly parts: readonly Node[] }
  | { readonly kind: 'alt'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly min: number; readonly max: number }
  | { readonly kind: 'assert'; readonly what: 'begin' | 'end' | 'word' | 'not-word' };

/** What is wrong with a pattern, as a person reads it. */
export class PatternError extends Error {}

const repeatMax = 1_000;
const depthMax = 100;

export const isWordByte = (byte: number): boolean =>
  (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte === 95;

const setOf = (test: (byte: number) => boolean): ByteSet => Uint8Array.from({ length: 256 }, (_, byte) => (test(byte) ? 1 : 0));
const not = (set: ByteSet): ByteSet => setOf((byte) => set[byte] === 0);
const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;
const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);
const classes: Readonly<Record<string, ByteSet>> = {
  d: setOf(isDigit),
  D: setOf((byte) => !isDigit(byte)),
  w: setOf(isWordByte),
  W: setOf((byte) => !isWordByte(byte)),
  s: setOf(isSpace),
  S: setOf((byte) => !isSpace(byte)),
};
const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, 0: 0 };
const posix: Readonly<Record<string, (byte: number) => boolean>> = {
  alpha: (byte) => isWordByte(byte) && !isDigit(byte) && byte !== 95,
  digit: isDigit,
  alnum: (byte) => isWordByte(byte) && byte !== 95,
  xdigit: (byte) => isDigit(byte) || (byte >= 65 && byte <= 70) || (byte >= 97 && byte <= 102),
  upper: (byte) => byte >= 65 && byte <= 90,
  lower: (byte) => byte >= 97 && byte <= 122,
  space: isSpace,
  punct: (byte) => byte > 32 && byte < 127 && (!isWordByte(byte) || byte === 95),
  word: isWordByte,
};

/** Throws PatternError. */
export function parsePattern(text: string): Node {
  return new Parser(text).whole();
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Node {
    const flags = /^\(\?i\)/.exec(this.#text);
    if (flags !== null) this.#at = flags[0].length;
    const node = this.#alternatives(flags !== null);
    if (this.#at < this.#text.length) throw new PatternError('")" has no "("');
    return node;
  }

  #alternatives(ignoreCase: boolean): Node {
    if (++this.#depth > depthMax) throw new PatternError('its groups are nested too deeply');
    const parts = [this.#sequence(ignoreCase)];
    while (this.#take('|')) parts.push(this.#sequence(ignoreCase));
    this.#depth -= 1;
    return parts.length === 1 ? (parts[0] as Node) : { kind: 'alt', parts };
  }

  #sequence(ignoreCase: boolean): Node {
    const parts: Node[] = [];
    while (this.#at < this.#text.length && this.#peek() !== '|' && this.#peek() !== ')') {
      const atom = this.#atom(ignoreCase);
      parts.push(this.#quantified(atom));
    }
    return parts.length === 1 ? (parts[0] as Node) : { kind: 'cat', parts };
  }

  #quantified(atom: Node): Node {
    const match = /^(?:[*+?]|\{(\d+)(,(\d*))?\})/.exec(this.#text.slice(this.#at));
    if (match === null) return atom;
    const [all, low, comma, high] = match;
    this.#at += all.length;
    const min = all === '+' ? 1 : all === '*' || all === '?' ? 0 : Number(low);
    const max = all === '?' ? 1 : low === undefined ? Infinity : comma === undefined ? min : high === '' ? Infinity : Number(high);
    if (min > repeatMax || (max !== Infinity && max > repeatMax)) throw new PatternError(`"${all}" repeats more than ${repeatMax} times`);
    if (max < min) throw new PatternError(`"${all}" ends before it begins`);
    if (this.#peek() === '?')
      throw new PatternError(`"${all}?" is lazy, but the longest match is always taken: write a class, as in [^;]*`);
    if (/^(?:[*+]|\{\d)/.test(this.#text.slice(this.#at))) throw new PatternError(`"${all}" is followed by another repetition`);
    return { kind: 'repeat', part: atom, min, max };
  }

  #atom(ignoreCase: boolean): Node {
    const char = this.#next();
    if (char === '(') return this.#group(ignoreCase);
    if (char === '[') return { kind: 'set', set: this.#class(ignoreCase) };
    if (char === '.') return { kind: 'set', set: setOf((byte) => byte !== 10) };
    if (char === '^') return { kind: 'assert', what: 'begin' };
    if (char === '$') return { kind: 'assert', what: 'end' };
    if (char === '*' || char === '+' || char === '?') throw new PatternError(`"${char}" has nothing to repeat`);
    if (char === '\\') return this.#escape(ignoreCase);
    return bytesOf(char, ignoreCase);
  }

  #group(ignoreCase: boolean): Node {
    const rest = this.#text.slice(this.#at);
    const open = /^\?(?:(i)?:|P?<[A-Za-z_]\w*>)/.exec(rest);
    if (/^\?<?[=!]/.test(rest)) throw new PatternError('looking ahead or behind is not supported');
    if (rest.startsWith('?') && open === null) throw new PatternError(`"(${rest.slice(0, 3)}" is not supported`);
    this.#at += open?.[0].length ?? 0;
    const inner = this.#alternatives(ignoreCase || open?.[1] !== undefined);
    if (!this.#take(')')) throw new PatternError('"(" has no ")"');
    return inner;
  }

  #escape(ignoreCase: boolean): Node {
    const char = this.#next();
    if (char === '') throw new PatternError('ends with a backslash');
    if (char === 'b') return { kind: 'assert', what: 'word' };
    if (char === 'B') return { kind: 'assert', what: 'not-word' };
    if (char === 'A') return { kind: 'assert', what: 'begin' };
    if (char === 'z') return { kind: 'assert', what: 'end' };
    const set = classes[char];
    if (set !== undefined) return { kind: 'set', set };
    return bytesOf(String.fromCodePoint(this.#escaped(char)), ignoreCase);
  }

  /** The one character that an escape stands for. */
  #escaped(char: string): number {
    const control = controls[char];
    if (control !== undefined) return control;
    if (char === 'x') {
      const hex = /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})/.exec(this.#text.slice(this.#at));
      const code = hex === null ? Number.NaN : Number.parseInt(hex[1] ?? hex[2] ?? '', 16);
      if (!(code <= 0x10ffff)) throw new PatternError('"\\x" needs two hexadecimal digits');
      this.#at += hex?.[0].length ?? 0;
      return code;
    }
    if (/\d/.test(char)) throw new PatternError(`"\\${char}" refers back to a group, which is not supported`);
    if (/[A-Za-z]/.test(char)) throw new PatternError(`"\\${char}" is not supported`);
    return char.codePointAt(0) ?? 0;
  }

  #class(ignoreCase: boolean): ByteSet {
    const set = new Uint8Array(256);
    const negated = this.#take('^');
    for (let first = true; ; first = false) {
      if (this.#at >= this.#text.length) throw new PatternError('"[" has no "]"');
      if (!first && this.#take(']')) break;
      const named = /^\[:(\^?)(\w+):\]/.exec(this.#text.slice(this.#at));
      if (named !== null) {
        const test = posix[named[2] ?? ''];
        if (test === undefined) throw new PatternError(`"${named[0]}" is no class`);
        this.#at += named[0].length;
        add(set, named[1] === '^' ? setOf((byte) => !test(byte)) : setOf(test));
        continue;
      }
      const from = this.#member(set);
      if (from === null) continue;
      const isRange = this.#peek() === '-' && this.#text[this.#at + 1] !== ']' && this.#at + 1 < this.#text.length;
      if (isRange) this.#at += 1;
      const to = isRange ? this.#member(set) : from;
      if (to === null || to < from) throw new PatternError('a range of a class ends before it begins');
      for (let byte = from; byte <= to; byte += 1) set[byte] = 1;
    }
    if (ignoreCase) add(set, bothCases(set));
    return negated ? not(set) : set;
  }

  /** Null: a class within the class, which has been added. */
  #member(set: ByteSet): number | null {
    let code = this.#next().codePointAt(0) ?? 0;
    if (code === 92) {
      const char = this.#next();
      const inner = classes[char];
      if (inner !== undefined) {
        add(set, inner);
        return null;
      }
      code = this.#escaped(char);
    }
    if (code > 127) throw new PatternError('a class holds ASCII characters only; write others as alternatives: (?:ä|ö)');
    return code;
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #next(): string {
    const code = this.#text.codePointAt(this.#at);
    const char = code === undefined ? '' : String.fromCodePoint(code);
    this.#at += char.length;
    return char;
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false;
    this.#at += 1;
    return true;
  }
}

function add(set: ByteSet, more: ByteSet): void {
  for (let byte = 0; byte < 256; byte += 1) if (more[byte] === 1) set[byte] = 1;
}

const other = (byte: number): number => (/[A-Za-z]/.test(String.fromCharCode(byte)) ? byte ^ 32 : byte);
const bothCases = (set: ByteSet): ByteSet => setOf((byte) => set[byte] === 1 || (byte < 128 && set[other(byte)] === 1));

function bytesOf(char: string, ignoreCase: boolean): Node {
  const parts = [...Buffer.from(char)].map((byte): Node => {
    const set = setOf((candidate) => candidate === byte);
    return { kind: 'set', set: ignoreCase ? bothCases(set) : set };
  });
  return parts.length === 1 ? (parts[0] as Node) : { kind: 'cat', parts };
}
