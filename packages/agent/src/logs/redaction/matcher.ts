/**
 * Finds the leftmost-longest matches of one pattern in a line. States of the automaton are made when they are first needed and
 * forgotten when there are too many, so a line costs one step a byte, whatever the pattern and whatever the line: a program in
 * a container writes the line, and must not be able to stop the agent with it.
 */
import { compile, requiredTexts, type Program } from './program.ts';
import { isWordByte, parsePattern } from './syntax.ts';

/** [from, to) */
export type Range = readonly [from: number, to: number];

/** What stood before: nothing, a byte of a word, another byte. What follows is told by the step itself. */
type Before = 0 | 1 | 2;
const [atBegin, afterWord, afterOther] = [0, 1, 2] as const;

interface State {
  readonly set: readonly number[];
  readonly before: Before;
  /** By class of the next byte; the last one is the end of the line. -1: not made yet. Else twice the state, plus 1 when a match ends before that byte. */
  readonly steps: Int32Array;
  /** Only what begins here is under way. */
  readonly isFresh: boolean;
}

const statesMax = 512;
/** Steps a byte, all attempts together; a line that needs more is taken out from there on. */
const effortMax = 16;

/** One of two automata of a pattern: `anywhere` a match may begin at every byte, otherwise only at the first. */
class Automaton {
  readonly #program: Program;
  /** By byte. */
  readonly classes: Uint8Array;
  /** The class of what follows on the last byte. */
  readonly end: number;
  readonly #samples: readonly number[];
  readonly #anywhere: boolean;
  #states: State[] = [];
  #numbers = new Map<string, number>();

  constructor(program: Program, classes: Uint8Array, samples: readonly number[], anywhere: boolean) {
    this.#program = program;
    this.classes = classes;
    this.end = samples.length;
    this.#samples = samples;
    this.#anywhere = anywhere;
  }

  begin(before: Before): number {
    return this.#number([this.#program.start], before);
  }

  state(number: number): State {
    return this.#states[number] as State;
  }

  /** As `steps` has it. `index` may be the length of the line. */
  step(number: number, line: Uint8Array, index: number): number {
    const state = this.#states[number] as State;
    const kind = index < line.length ? (this.classes[line[index] as number] as number) : this.end;
    const known = state.steps[kind] as number;
    return known >= 0 ? known : this.make(state, kind);
  }

  /** The step that is not there yet. */
  make(state: State, kind: number): number {
    // Nobody holds more than one number at a time: when there are too many, all are made anew.
    if (this.#states.length >= statesMax) {
      this.#states = [];
      this.#numbers = new Map();
    }
    const byte = this.#samples[kind];
    const { matched, bytes } = this.#closure(state, byte);
    const next = new Set<number>();
    if (byte !== undefined) {
      for (const index of bytes) {
        const inner = this.#program.states[index];
        if (inner?.kind === 'byte' && inner.set[byte] === 1) next.add(inner.next);
      }
      if (this.#anywhere) next.add(this.#program.start);
    }
    const before = byte !== undefined && isWordByte(byte) ? afterWord : afterOther;
    const number = this.#number(
      [...next].toSorted((a, b) => a - b),
      before,
    );
    const result = number * 2 + (matched ? 1 : 0);
    state.steps[kind] = result;
    return result;
  }

  /** What can be reached without a byte, between `state.before` and `byte` (undefined: the end). */
  #closure(state: State, byte: number | undefined): { readonly matched: boolean; readonly bytes: readonly number[] } {
    const isBoundary = (state.before === afterWord) !== (byte !== undefined && isWordByte(byte));
    const holds = { begin: state.before === atBegin, end: byte === undefined, word: isBoundary, 'not-word': !isBoundary };
    const seen = new Set<number>();
    const bytes: number[] = [];
    const open = [...state.set];
    let matched = false;
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (seen.has(index)) continue;
      seen.add(index);
      const inner = this.#program.states[index];
      if (inner === undefined) continue;
      if (inner.kind === 'match') matched = true;
      else if (inner.kind === 'byte') bytes.push(index);
      else if (inner.kind === 'split') open.push(...inner.next);
      else if (holds[inner.what]) open.push(inner.next);
    }
    return { matched, bytes };
  }

  #number(set: readonly number[], before: Before): number {
    const key = `${before}:${set.join(',')}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const steps = new Int32Array(this.#samples.length + 1).fill(-1);
    const isFresh = set.length === 1 && set[0] === this.#program.start;
    const number = this.#states.push({ set, before, steps, isFresh }) - 1;
    this.#numbers.set(key, number);
    return number;
  }
}

export class Matcher {
  /** One of them is in every line that matches; empty: that cannot be said. */
  readonly #texts: readonly Buffer[];
  readonly #anywhere: Automaton;
  readonly #here: Automaton;
  #effort = 0;

  /** Throws PatternError. */
  constructor(pattern: string) {
    const node = parsePattern(pattern);
    const program = compile(node);
    const { classes, samples } = byteClasses(program);
    this.#texts = requiredTexts(node).map((text) => Buffer.from(text, 'latin1'));
    this.#anywhere = new Automaton(program, classes, samples, true);
    this.#here = new Automaton(program, classes, samples, false);
  }

  /** False: nothing in these bytes matches, for certain. Cheap. */
  mayMatch(bytes: Buffer): boolean {
    return this.#texts.length === 0 || this.#texts.some((text) => bytes.includes(text));
  }

  /** In order, not overlapping. */
  ranges(line: Buffer): readonly Range[] {
    const ranges: Range[] = [];
    this.#effort = effortMax * (line.length + 64);
    for (let from = 0; from < line.length;) {
      const range = this.#next(line, from);
      if (range === null) break;
      ranges.push(range);
      [, from] = range;
    }
    return ranges;
  }

  #next(line: Buffer, from: number): Range | null {
    const earliest = this.#beginning(line, from);
    if (earliest === null) return null;
    for (let start = earliest; start < line.length; start += 1) {
      const end = this.#end(line, start);
      if (end > start) return [start, end];
      if (this.#effort <= 0) return [earliest, line.length];
    }
    return null;
  }

  /** Where the leftmost match begins, or a little before; null: there is none. */
  #beginning(line: Buffer, from: number): number | null {
    const found = hotBeginning(this.#anywhere, line, from, this.#anywhere.begin(beforeOf(line, from)));
    return found < 0 ? null : found;
  }

  /** Of the longest match that begins at `start`; `start` itself: there is none. */
  #end(line: Buffer, start: number): number {
    let state = this.#here.begin(beforeOf(line, start));
    let end = start;
    for (let index = start; index <= line.length; index += 1) {
      const step = this.#here.step(state, line, index);
      if ((step & 1) === 1) end = index;
      state = step >> 1;
      this.#effort -= 1;
      if (this.#here.state(state).set.length === 0) break;
      // There may be a longer one, and nobody will look: rather too much than too little.
      if (this.#effort <= 0) return end > start ? line.length : start;
    }
    return end;
  }
}

/** Runs over every byte of a log where nothing can be said beforehand: compiled for speed (control/v8-flags.ts). -1: no match. */
function hotBeginning(automaton: Automaton, line: Uint8Array, from: number, begin: number): number {
  const { classes, end } = automaton;
  let state = automaton.state(begin);
  let earliest = from;
  for (let index = from; index <= line.length; index += 1) {
    const kind = index < line.length ? (classes[line[index] as number] as number) : end;
    let step = state.steps[kind] as number;
    if (step < 0) step = automaton.make(state, kind);
    if ((step & 1) === 1) return earliest;
    state = automaton.state(step >> 1);
    if (state.isFresh) earliest = index + 1;
  }
  return -1;
}

const beforeOf = (line: Buffer, index: number): Before =>
  index === 0 ? atBegin : isWordByte(line[index - 1] as number) ? afterWord : afterOther;

/** Bytes that no state tells apart are one class; `samples` has one byte of each. */
function byteClasses(program: Program): { readonly classes: Uint8Array; readonly samples: readonly number[] } {
  const sets = program.states.flatMap((state) => (state.kind === 'byte' ? [state.set] : []));
  const classes = new Uint8Array(256);
  const numbers = new Map<string, number>();
  const samples: number[] = [];
  for (let byte = 0; byte < 256; byte += 1) {
    const key = sets.map((set) => set[byte]).join('') + String(isWordByte(byte));
    const known = numbers.get(key);
    classes[byte] = known ?? samples.length;
    if (known !== undefined) continue;
    numbers.set(key, samples.length);
    samples.push(byte);
  }
  return { classes, samples };
}
