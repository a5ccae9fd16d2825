/** YAML text → a plain tree in which every value knows its place in the file and its path. Aliases and merge keys are resolved. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Alias,
  type Document,
  type Node,
  type YAMLMap,
} from 'yaml';
import { fail, gather, Invalid, shownAs, type Position, type Problem } from './problems.ts';

interface Place extends Position {
  readonly path: string;
}
export interface LocatedScalar extends Place {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  /** As it stands in the file: `0755` and `1.10` stay what the person wrote. */
  readonly source: string;
}
export interface LocatedList extends Place {
  readonly kind: 'list';
  readonly items: readonly Located[];
}
export interface LocatedEntry {
  readonly key: string;
  /** Of the key. */
  readonly at: Place;
  readonly node: Located;
}
export interface LocatedMap extends Place {
  readonly kind: 'map';
  readonly entries: readonly LocatedEntry[];
}
export type Located = LocatedScalar | LocatedList | LocatedMap;

/** Aliases of aliases can grow without bound ("billion laughs"); no honest configuration comes near this. */
const nodesMax = 100_000;

/** Throws Invalid with every syntax error of the text. */
export function parseLocated(text: string): Located {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) throw new Invalid(faults.map((fault) => syntaxProblem(fault, text, lines)));
  if (document.contents === null) fail({ line: 1, column: 1, path: '' }, 'the file is empty; it must begin with "version: 1"');
  const { contents } = document;
  // Nobody knows yet which names are fields.
  return shownAs('', () => new Converter(document, lines).convert(contents, ''));
}

function syntaxProblem(
  fault: { readonly code: string; readonly message: string; readonly pos: readonly [number, number] },
  text: string,
  lines: LineCounter,
): Problem {
  const key = /^[^\s:]*/.exec(text.slice(fault.pos[0]))?.[0] ?? '';
  const known: Readonly<Record<string, string>> = {
    DUPLICATE_KEY: `the key ${JSON.stringify(key)} stands twice in the same map`,
    MULTIPLE_DOCS: 'the file holds more than one YAML document ("---"); one is allowed',
    TAB_AS_INDENT: 'tabs cannot indent YAML; use spaces',
  };
  const { line, col } = lines.linePos(fault.pos[0]);
  return {
    line: Math.max(1, line),
    column: Math.max(1, col),
    path: '',
    message: known[fault.code] ?? `not valid YAML: ${fault.message.split('\n')[0]}`,
  };
}

/** What each alias stands for: one pass over the document, which `alias.resolve` would go through once for each. */
function aliasTargets(document: Document): ReadonlyMap<Alias, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, {
    Node(_, node) {
      if (!isAlias(node)) return void (node.anchor !== undefined && anchors.set(node.anchor, node));
      const target = anchors.get(node.source);
      if (target !== undefined) targets.set(node, target);
    },
  });
  return targets;
}

class Converter {
  readonly #targets: ReadonlyMap<Alias, Node>;
  readonly #lines: LineCounter;
  readonly #resolving = new Set<Node>();
  #nodes = 0;

  constructor(document: Document, lines: LineCounter) {
    this.#targets = aliasTargets(document);
    this.#lines = lines;
  }

  convert(node: Node, path: string): Located {
    const place = this.#place(node, path);
    this.#nodes += 1;
    if (this.#nodes > nodesMax) fail(place, `the configuration has more than ${nodesMax} values; look at its aliases`);
    if (isAlias(node)) return this.#alias(this.#targets.get(node), node.source, place);
    if (isMap(node)) return { kind: 'map', ...place, entries: this.#entries(node, place) };
    if (isSeq(node)) return this.#list(node.items as readonly (Node | null)[], place);
    if (!isScalar(node)) return fail(place, 'not a YAML value');
    const value = node.value;
    if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      return { kind: 'scalar', ...place, value, source: typeof value === 'string' ? value : (node.source ?? String(value)) };
    }
    return fail(place, 'only text, numbers, true, false and null are allowed here');
  }

  #alias(target: Node | undefined, name: string, place: Place): Located {
    if (target === undefined) return fail(place, `there is no anchor "&${name}" before this alias`);
    if (this.#resolving.has(target)) fail(place, `the alias "*${name}" contains itself`);
    this.#resolving.add(target);
    try {
      return this.convert(target, place.path);
    } finally {
      this.#resolving.delete(target);
    }
  }

  #list(items: readonly (Node | null)[], place: Place): LocatedList {
    const problems: Problem[] = [];
    const converted = items.map((item, index) =>
      gather(problems, () => (item === null ? emptyAt(place, `${place.path}[${index}]`) : this.convert(item, `${place.path}[${index}]`))),
    );
    if (problems.length > 0) throw new Invalid(problems);
    return { kind: 'list', ...place, items: converted as Located[] };
  }

  /** What stands in the map itself wins over what is merged in, as YAML 1.1 and Compose have it. */
  #entries(map: YAMLMap, place: Place): readonly LocatedEntry[] {
    const problems: Problem[] = [];
    const own = new Map<string, LocatedEntry>();
    const merged: LocatedEntry[] = [];
    for (const pair of map.items) {
      gather(problems, () => {
        const keyNode = pair.key as Node;
        const at = this.#place(keyNode, place.path);
        if (!isScalar(keyNode) || keyNode.value === null || keyNode.value === undefined) fail(at, 'a key must be plain text');
        const key = typeof keyNode.value === 'string' ? keyNode.value : (keyNode.source ?? '');
        const path = childPath(place.path, key);
        const node = pair.value === null ? emptyAt(at, path) : this.convert(pair.value as Node, key === '<<' ? place.path : path);
        if (key === '<<') merged.push(...mergedEntries(node));
        else own.set(key, { key, at: { ...at, path }, node });
      });
    }
    if (problems.length > 0) throw new Invalid(problems);
    for (const entry of merged) if (!own.has(entry.key)) own.set(entry.key, entry);
    return [...own.values()];
  }

  #place(node: Node, path: string): Place {
    const { line, col } = this.#lines.linePos(node.range?.[0] ?? 0);
    return { line: Math.max(1, line), column: Math.max(1, col), path };
  }
}

function mergedEntries(node: Located): readonly LocatedEntry[] {
  if (node.kind === 'map') return node.entries;
  if (node.kind === 'list') return node.items.flatMap(mergedEntries);
  return fail(node, 'the merge key "<<" takes a map or a list of maps');
}

const emptyAt = (at: Position, path: string): LocatedScalar => ({
  kind: 'scalar',
  line: at.line,
  column: at.column,
  path,
  value: null,
  source: '',
});

export function childPath(path: string, key: string): string {
  const plain = /^[\w.-]+$/.test(key) ? key : JSON.stringify(key);
  return path === '' ? plain : `${path}.${plain}`;
}

/** The value under `key`, for checks that compare siblings whatever else is wrong with them. */
export function child(node: Located, key: string): Located | undefined {
  return node.kind === 'map' ? node.entries.find((entry) => entry.key === key)?.node : undefined;
}

/** For messages: the value itself when it is short and plain, else its kind. */
export function describe(node: Located): string {
  if (node.kind !== 'scalar') return node.kind === 'map' ? 'a map' : 'a list';
  if (node.value === null) return 'nothing';
  const text = typeof node.value === 'string' ? JSON.stringify(node.value) : node.source;
  return text.length <= 80 ? text : `${text.slice(0, 77)}…`;
}
