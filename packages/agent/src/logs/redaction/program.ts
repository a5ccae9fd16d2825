/** From the syntax of a pattern to states, and to the texts without one of which nothing can match. Pure. */
import { PatternError, type ByteSet, type Node } from './syntax.ts';

export type State =
  | { readonly kind: 'byte'; readonly set: ByteSet; readonly next: number }
  | { readonly kind: 'split'; readonly next: readonly number[] }
  | { readonly kind: 'assert'; readonly what: 'begin' | 'end' | 'word' | 'not-word'; readonly next: number }
  | { readonly kind: 'match' };

export interface Program {
  readonly states: readonly State[];
  readonly start: number;
}

/** A repetition is written out; more than this is a mistake of the person. */
const statesMax = 4_000;

/** Throws PatternError, also for a pattern that matches nothing at all, which stands everywhere. */
export function compile(node: Node): Program {
  if (isNullable(node)) throw new PatternError('matches the empty text, which stands everywhere');
  const states: State[] = [{ kind: 'match' }];
  const push = (state: State): number => {
    if (states.length >= statesMax) throw new PatternError('is too large: repeat less');
    return states.push(state) - 1;
  };
  const build = (part: Node, next: number): number => {
    switch (part.kind) {
      case 'set':
        return push({ kind: 'byte', set: part.set, next });
      case 'assert':
        return push({ kind: 'assert', what: part.what, next });
      case 'cat':
        return part.parts.reduceRight((after, inner) => build(inner, after), next);
      case 'alt':
        return push({ kind: 'split', next: part.parts.map((inner) => build(inner, next)) });
      case 'repeat':
        return repeat(part, next);
    }
  };
  const repeat = ({ part, min, max }: Extract<Node, { kind: 'repeat' }>, next: number): number => {
    let after = next;
    if (max === Infinity) {
      const loop = push({ kind: 'split', next: [] });
      states[loop] = { kind: 'split', next: [build(part, loop), next] };
      after = loop;
    } else {
      for (let count = min; count < max; count += 1) after = push({ kind: 'split', next: [build(part, after), next] });
    }
    for (let count = 0; count < min; count += 1) after = build(part, after);
    return after;
  };
  // A state of its own: a repetition in front would come back to it, and look as if it began there.
  const start = push({ kind: 'split', next: [build(node, 0)] });
  return { states, start };
}

function isNullable(node: Node): boolean {
  switch (node.kind) {
    case 'set':
      return false;
    case 'assert':
      return true;
    case 'cat':
      return node.parts.every(isNullable);
    case 'alt':
      return node.parts.some(isNullable);
    case 'repeat':
      return node.min === 0 || isNullable(node.part);
  }
}

const literalsMax = 8;
/** Shorter ones stand in nearly every line. */
const literalLengthMin = 2;

/** Every match holds one of these. Empty: nothing can be said. */
export function requiredTexts(node: Node): readonly string[] {
  const found = required(node);
  return found !== null && found.length <= literalsMax && found.every((text) => text.length >= literalLengthMin) ? found : [];
}

/** One character a byte. Null: nothing can be said. */
function required(node: Node): readonly string[] | null {
  switch (node.kind) {
    case 'set': {
      const only = single(node);
      return only === null ? null : [only];
    }
    case 'assert':
      return null;
    case 'repeat':
      return node.min === 0 ? null : required(node.part);
    case 'alt': {
      const all = node.parts.map(required);
      return all.some((texts) => texts === null) ? null : all.flatMap((texts) => texts ?? []);
    }
    case 'cat':
      return ofSequence(flatten(node));
  }
}

/** The best of its runs of single bytes and of its parts: the one whose shortest text is longest. */
function ofSequence(parts: readonly Node[]): readonly string[] | null {
  const candidates: (readonly string[])[] = [];
  let run = '';
  for (const part of parts) {
    const only = single(part);
    if (only !== null) {
      run += only;
      continue;
    }
    if (run !== '') candidates.push([run]);
    run = '';
    const inner = required(part);
    if (inner !== null) candidates.push(inner);
  }
  if (run !== '') candidates.push([run]);
  const weight = (texts: readonly string[]): number => Math.min(...texts.map((text) => text.length));
  return candidates.toSorted((a, b) => weight(b) - weight(a))[0] ?? null;
}

const flatten = (node: Node): readonly Node[] => (node.kind === 'cat' ? node.parts.flatMap(flatten) : [node]);

function single(node: Node): string | null {
  if (node.kind !== 'set') return null;
  const first = node.set.indexOf(1);
  return first >= 0 && node.set.indexOf(1, first + 1) < 0 ? String.fromCharCode(first) : null;
}
