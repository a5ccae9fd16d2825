import { expect, it } from 'vitest';
import { codeOf, readPage, tableRows } from '../../../../test/support/docs.ts';
import { ruleNames } from './condition.ts';

it('every alert has its row in docs/operations.md', () => {
  const shown = tableRows(readPage('docs/operations.md'), 'alert').map(({ cells }) => codeOf(cells[0]) ?? '');
  expect(shown.toSorted()).toEqual([...ruleNames].toSorted());
});
