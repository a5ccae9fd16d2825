/** Label selectors as operators type them: `pool=v5e,zone!=us-west4-a,slice`. All terms must hold. */
export interface SelectorTerm {
  readonly key: string;
  readonly op: '=' | '!=' | 'exists';
  readonly value: string;
}
export type Selector = readonly SelectorTerm[];

/** Undefined when the text is not a selector. */
export function parseSelector(text: string): Selector | undefined {
  const terms: SelectorTerm[] = [];
  for (const part of text.split(',')) {
    const match = /^\s*([\w./-]+)\s*(?:(!?=)\s*([\w./:@ -]*?))?\s*$/.exec(part);
    if (match?.[1] === undefined) return undefined;
    const op = match[2] === '=' || match[2] === '!=' ? match[2] : 'exists';
    terms.push({ key: match[1], op, value: match[3] ?? '' });
  }
  return terms;
}

export function matchesSelector(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  return selector.every((term) => {
    const value = labels[term.key];
    if (term.op === 'exists') return value !== undefined;
    return term.op === '=' ? value === term.value : value !== term.value;
  });
}
