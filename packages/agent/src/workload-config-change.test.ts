import { expect, test } from 'vitest';
import { bothChanges, type SpecChanged } from './workload-config-change.ts';

const process: SpecChanged = { type: 'spec-changed', impact: 'process', fields: ['process.run'] };
const container: SpecChanged = { type: 'spec-changed', impact: 'container', fields: ['container.image'] };

test.each([
  [process, container],
  [container, process],
])('of two changes during one operation the stronger one holds, whichever came first', (first, second) => {
  expect(bothChanges(first, second)).toEqual({
    type: 'spec-changed',
    impact: 'container',
    fields: [...first.fields, ...second.fields],
  });
  expect(bothChanges(process, process)).toEqual(process);
});
