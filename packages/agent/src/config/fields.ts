/** Readers: one function a form, from a place in the YAML to a value. Everything wrong in one map or list is reported together. */
import { suggest } from '@relight/shared/suggest';
import { describe, type Located, type LocatedMap } from './located.ts';
import { fail, gather, Invalid, shownAs, type Problem } from './problems.ts';

export type Reader<T> = (node: Located) => T;

/**
 * Reads a map. `read` asks for every field it knows and returns the function that builds the value; that one runs only when
 * all fields are sound, so it can compare them and never sees a placeholder.
 */
export function object<T>(read: (fields: Fields) => () => T): Reader<T> {
  return (node) => {
    if (node.kind !== 'map') return fail(node, `must be a map (key: value), not ${describe(node)}`);
    const fields = new Fields(node);
    const build = read(fields);
    fields.close();
    return build();
  };
}

export class Fields {
  readonly node: LocatedMap;
  readonly #problems: Problem[] = [];
  readonly #known = new Set<string>();
  readonly #refused = new Set<string>();

  constructor(node: LocatedMap) {
    this.node = node;
  }

  has(key: string): boolean {
    const value = this.#find(key)?.node;
    return value !== undefined && !isNull(value);
  }

  required<T>(key: string, reader: Reader<T>): T {
    const at = this.#find(key)?.at ?? this.node;
    if (!this.has(key)) this.problem({ line: at.line, column: at.column, path: pathOf(this.node, key), message: 'is required' });
    return this.optional<T | undefined>(key, reader, undefined) as T;
  }

  /** A field that is absent, or left empty, is `fallback`. */
  optional<T>(key: string, reader: Reader<T>, fallback: T): T {
    this.#known.add(key);
    const entry = this.#find(key);
    return entry === undefined || isNull(entry.node) ? fallback : (gather(this.#problems, () => reader(entry.node)) as T);
  }

  /** Like `optional`, but null is a value of its own. */
  nullable<T>(key: string, reader: Reader<T>, fallback: T | null): T | null {
    const entry = this.#find(key);
    if (entry !== undefined && isNull(entry.node)) {
      this.#known.add(key);
      return null;
    }
    return this.optional<T | null>(key, reader, fallback);
  }

  /** Names fields that are known but not allowed, each with the reason that the person reads. */
  refuse(reasons: Readonly<Record<string, string>>): void {
    for (const [key, message] of Object.entries(reasons)) {
      const entry = this.#find(key);
      if (entry === undefined) continue;
      this.#refused.add(key);
      this.problem({ ...entry.at, shown: this.node.path, message });
    }
  }

  problem(problem: Problem): void {
    this.#problems.push(problem);
  }

  /** For the building function: the fields contradict each other. */
  fail(key: string, message: string): never {
    const at = this.#find(key)?.at ?? this.node;
    return fail({ line: at.line, column: at.column, path: pathOf(this.node, key) }, message);
  }

  close(): void {
    for (const { key, at } of this.node.entries) {
      if (this.#known.has(key) || this.#refused.has(key)) continue;
      this.problem({ ...at, shown: this.node.path, message: unknownField(key, [...this.#known]) });
    }
    if (this.#problems.length > 0) throw new Invalid(this.#problems);
  }

  #find(key: string): LocatedMap['entries'][number] | undefined {
    return this.node.entries.find((entry) => entry.key === key);
  }
}

function unknownField(key: string, known: readonly string[]): string {
  const near = suggest(key, known);
  return near === undefined ? `unknown field; allowed: ${known.toSorted().join(', ')}` : `unknown field; did you mean "${near}"?`;
}

const isNull = (node: Located): boolean => node.kind === 'scalar' && node.value === null;
const pathOf = (node: Located, key: string): string => (node.path === '' ? key : `${node.path}.${key}`);

/** A list whose every item is read by `reader`. */
export function list<T>(reader: Reader<T>): Reader<readonly T[]> {
  return (node) => {
    if (node.kind !== 'list') return fail(node, `must be a list, not ${describe(node)}`);
    return readAll(node.items, reader);
  };
}

/** Compose's "string or list": one value counts as a list of one. */
export function oneOrMore<T>(reader: Reader<T>): Reader<readonly T[]> {
  return (node) => (node.kind === 'list' ? readAll(node.items, reader) : [reader(node)]);
}

function readAll<T>(nodes: readonly Located[], reader: Reader<T>): readonly T[] {
  const problems: Problem[] = [];
  const values = nodes.map((item) => gather(problems, () => reader(item)) as T);
  if (problems.length > 0) throw new Invalid(problems);
  return values;
}

/** A map with keys of the person's choice; `key` may refuse one by throwing. */
export function record<T>(
  reader: Reader<T>,
  checkKey: (key: string, at: Located) => void = () => undefined,
): Reader<Readonly<Record<string, T>>> {
  return (node) => {
    if (node.kind !== 'map') return fail(node, `must be a map (key: value), not ${describe(node)}`);
    return shownAs(node.path, () => {
      const problems: Problem[] = [];
      const pairs = node.entries.map(({ key, at, node: value }) => {
        gather(problems, () => checkKey(key, { ...value, line: at.line, column: at.column }));
        return [key, gather(problems, () => reader(value))] as const;
      });
      if (problems.length > 0) throw new Invalid(problems);
      return Object.fromEntries(pairs) as Record<string, T>;
    });
  };
}

/** Reports every second use of a name among siblings. Works on the tree, so that it speaks even when a sibling is unsound. */
export function duplicates(nodes: readonly (Located | undefined)[], what: string): readonly Problem[] {
  const first = new Map<string, Located>();
  const problems: Problem[] = [];
  for (const node of nodes) {
    if (node?.kind !== 'scalar' || node.value === null) continue;
    const before = first.get(node.source);
    if (before === undefined) first.set(node.source, node);
    else
      problems.push({
        line: node.line,
        column: node.column,
        path: node.path,
        message: `${what} ${describe(node)} is taken already in line ${before.line}`,
      });
  }
  return problems;
}
