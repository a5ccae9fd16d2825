/** YAML with the place of every value, for error messages that a person can jump to. */
import { RelightError } from '@relight/shared/errors';
import { LineCounter, isMap, isPair, isScalar, parseDocument, type Document } from 'yaml';

export interface YamlText {
  readonly value: unknown;
  /** `file:line:column: ` of the key or value at `path`, or of the nearest enclosing one that exists. */
  where(path: readonly PropertyKey[]): string;
}

/** @throws RelightError `config-invalid` for what is not YAML or has duplicate keys. */
export function parseYaml(text: string, file: string): YamlText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}: `;
  };
  if (document.errors.length > 0) {
    const messages = document.errors.map((error) => `${place(error.pos[0])}${error.message}`);
    throw new RelightError('config-invalid', messages.join('\n'));
  }
  return {
    value: document.toJS() ?? {},
    where(path) {
      for (let length = path.length; length > 0; length -= 1) {
        const offset = offsetOf(document, path.slice(0, length));
        if (offset !== undefined) return place(offset);
      }
      return place(0);
    },
  };
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
