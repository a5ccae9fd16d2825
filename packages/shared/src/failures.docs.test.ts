/** docs/operations/failures.md names every code that a workload can meet, and no code that does not exist. */
import { expect, it } from 'vitest';
import { readPage, tableRows } from '../../../test/support/docs.ts';
import { catalogue } from './errors.ts';
import { levels } from './phase.ts';

const rows = tableRows(readPage('docs/operations/failures.md'), 'what you see').map(({ cells }) => cells);
const named = new Set(rows.flatMap(([, codes = '']) => [...codes.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? '')));

/** The catalogue is in sections; those of the engine, the container, the stages and the accelerators are a workload's. */
const codes = Object.keys(catalogue);
const ofWorkloads = codes.slice(codes.indexOf('engine-unreachable'), codes.indexOf('host-facts-unknown'));

it('names only codes of the catalogue', () => {
  expect([...named].filter((code) => !codes.includes(code))).toEqual([]);
});

it('has every code that a workload can meet', () => {
  expect(ofWorkloads).toContain('gpu-xid');
  expect(ofWorkloads.filter((code) => !named.has(code))).toEqual([]);
});

it('says of every row what is seen, where it is mended, what Relight does and what is left', () => {
  expect(rows.filter((cells) => cells.length !== 5 || cells.includes(''))).toEqual([]);
  expect(rows.filter(([, , level = '']) => ![...levels, '–'].includes(level))).toEqual([]);
});
