/** docs/operations.md has a row for every error code, phase and host state, and says of an error what the catalogue says. */
import { expect, it } from 'vitest';
import { codeOf, readPage, tableRows } from '../../../test/support/docs.ts';
import { catalogue } from './errors.ts';
import { hostStates, phases } from './phase.ts';

const page = readPage('docs/operations.md');
const firstCells = (title: string): readonly (string | undefined)[] => tableRows(page, title).map(({ cells }) => codeOf(cells[0]));

it('has the catalogue of errors, row by row', () => {
  const shown = tableRows(page, 'code').map(({ cells }) => cells.slice(0, 4));
  const meant = Object.entries(catalogue).map(([code, entry]) => [
    `\`${code}\``,
    entry.title,
    entry.recoverable ? 'yes' : 'no',
    entry.advice,
  ]);
  expect(shown).toEqual(meant);
});

it('has every phase of a workload', () => {
  expect(firstCells('phase')).toEqual(phases);
});

it('has every state of a host', () => {
  expect(firstCells('state')).toEqual(hostStates);
});
