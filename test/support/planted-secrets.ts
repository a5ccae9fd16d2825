/** A configuration with a secret where somebody may have slipped it: one text for every place and every way. */

export type Tree = string | number | boolean | readonly Tree[] | { readonly [key: string]: Tree };

/** Where YAML takes no more than a name. */
const word = 'hunter2';
const secret = `https://hooks.example/T0/${word}`;

export const holdsSecret = (text: string): boolean => text.includes(word);

/** In YAML's flow style; some leave a sound document, others a broken one. */
const values = [
  secret,
  `"${secret}"`,
  `[${secret}]`,
  `{"${secret}": 1}`,
  `{"${secret}": {"${secret}": []}}`,
  `*${word}`,
  `&${word} [*${word}]`,
  `!${word} x`,
  `"${secret}`,
  `'${secret}' x`,
  `{"${secret}": 1`,
  `[${secret}}`,
  `"\\q${secret}"`,
  `%${secret}`,
  `@${secret}`,
  `|${secret}`,
  `{? [${secret}] : 1}`,
  `\n${secret}`,
];

const pairs = [
  `"${secret}": `,
  `"${secret}": 1`,
  `"${secret}": {}`,
  `"${secret}": {"${secret}": null}`,
  `"${secret}": [[1]]`,
  `"${secret}": 1, "${secret}": 2`,
  `<<: "${secret}"`,
  `<<: {"${secret}": {}}`,
  `<<: *${word}`,
  `? {"${secret}": 1} : 1`,
  `? [${secret}] : 1`,
  `*${word} : 1`,
  `&${word} x: *${word}, y: *${word}`,
  `!${word} x: 1`,
  `"${secret}" 1`,
  `"${secret}: 1`,
  `, "${secret}": 1`,
  `"RELIGHT_${secret}": 1`,
  `"relight.${secret}": {}`,
];

/** Every text that `document` becomes with one secret planted in it: in place of a value, and as a further key of a map. */
export function* plantedSecrets(document: Tree): Generator<string> {
  yield* planted(document);
  for (const value of values) yield `${flow(document)}\n${value}\n`;
  yield `--- ${flow(document)}\n--- ${secret}\n`;
}

function* planted(tree: Tree): Generator<string> {
  yield* values;
  if (typeof tree !== 'object') return;
  if (isList(tree)) {
    for (const [at, item] of tree.entries())
      for (const text of planted(item)) yield `[${tree.map((other, index) => (index === at ? text : flow(other))).join(', ')}]`;
    return;
  }
  const entries = Object.entries(tree);
  const own = entries.map(([key, value]) => `${JSON.stringify(key)}: ${flow(value)}`);
  for (const pair of pairs) {
    yield `{${[...own, pair].join(', ')}}`;
    yield `{${[pair, ...own].join(', ')}}`;
  }
  for (const [at, [key, value]] of entries.entries())
    for (const text of planted(value)) yield `{${own.with(at, `${JSON.stringify(key)}: ${text}`).join(', ')}}`;
}

const isList = (tree: Tree): tree is readonly Tree[] => Array.isArray(tree);
const flow = (tree: Tree): string => JSON.stringify(tree);
