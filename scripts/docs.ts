/** `npm run docs`: writes the reference pages; a unit test fails where one is not what this writes. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pages } from './docs/pages.ts';
import { root } from './run.ts';

for (const [path, text] of Object.entries(await pages())) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  console.log(path);
}
