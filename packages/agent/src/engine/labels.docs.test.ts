import { expect, it } from 'vitest';
import { readPage } from '../../../../test/support/docs.ts';
import { managedLabels } from './create-options.ts';

it('every label that marks a container as ours is in docs/operations.md', () => {
  const page = readPage('docs/operations.md');
  expect(Object.values(managedLabels).filter((label) => !page.includes(`\`${label}\``))).toEqual([]);
});
