import { expect, it } from 'vitest';
import { readPage } from '../../test/support/docs.ts';
import { pages } from './pages.ts';

it.each(Object.entries(await pages()))('%s is what `npm run docs` writes', (path, text) => {
  expect(readPage(path)).toBe(text);
});
