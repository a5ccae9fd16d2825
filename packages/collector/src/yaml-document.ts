/** YAML with the place of every value, for error messages that a person can jump to. */
import { RelightError, errorMessage } from '@relight/shared/errors';
import { LineCounter, isAlias, isMap, isPair, isScalar, parseDocument, visit, type Document, type Node } from 'yaml';

export interface YamlText {
  readonly value: unknown;
  /** `file:line:column: ` of the key or value at `path`, or of the nearest enclosing one that exists. */
  where(path: readonly PropertyKey[]): string;
}

/** @throws RelightError `config-invalid` for what is not YAML, has duplicate keys, or aliases that mean nothing, themselves or far too much. */
export function parseYaml(text: string, file: string): YamlText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, logLevel: 'error' });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}: `;
  };
  const problems = [
    ...document.errors.map(({ pos, message }) => ({ offset: pos[0], message })),
    ...(document.errors.length === 0 ? aliasProblems(document) : []),
  ];
  if (problems.length > 0) {
    const messages = problems.map(({ offset, message }) => `${place(offset)}${message}`);
    throw new RelightError('config-invalid', messages.join('\n'), {
      data: { places: problems.map(({ offset }) => place(offset).slice(0, -2)) },
    });
  }
  return {
    value: valueOf(document, place(0)),
    where(path) {
      for (let length = path.length; length > 0; length -= 1) {
        const offset = offsetOf(document, path.slice(0, length));
        if (offset !== undefined) return place(offset);
      }
      return place(0);
    },
  };
}

interface Problem {
  /** In the text. */
  readonly offset: number;
  readonly message: string;
}

/**
 * The parser takes an alias for a name alone: what it means is asked for with the value, without a place. One pass over the document, which
 * `alias.resolve` would go through once for each.
 */
function aliasProblems(document: Document): readonly Problem[] {
  const problems: Problem[] = [];
  const anchors = new Map<string, Node>();
  visit(document, {
    Node(_, node, ancestors) {
      if (!isAlias(node)) return void (node.anchor !== undefined && anchors.set(node.anchor, node));
      const target = anchors.get(node.source);
      const offset = node.range?.[0] ?? 0;
      if (target === undefined) problems.push({ offset, message: `there is no anchor "&${node.source}" before this alias` });
      else if (ancestors.includes(target)) problems.push({ offset, message: `the alias "*${node.source}" contains itself` });
    },
  });
  return problems;
}

/** Fails where aliases of aliases stand for so much that nobody has meant it ("billion laughs"). */
function valueOf(document: Document, place: string): unknown {
  try {
    return document.toJS() ?? {};
  } catch (error) {
    throw new RelightError('config-invalid', `${place}${errorMessage(error)}`, { cause: error, data: { places: [place.slice(0, -2)] } });
  }
}

/** Where the key stands, in a map; where the value begins, in a list. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number | undefined {
  const last = path.at(-1);
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (isMap(parent)) {
    const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(last));
    const key = pair?.key;
    return isScalar(key) ? key.range?.[0] : undefined;
  }
  const node = document.getIn(path, true) as { range?: readonly number[] | null } | undefined;
  return node?.range?.[0];
}
