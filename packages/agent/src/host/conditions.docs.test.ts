import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readPage, tableRows } from '../../../../test/support/docs.ts';

/** Conditions are named where they are made: `name: 'disk-low'` beside a subject and a severity. */
function namesIn(file: string): string[] {
  const source = readFileSync(join(import.meta.dirname, file), 'utf8');
  return [...source.matchAll(/\bname: '([a-z]+(?:-[a-z]+)+)'/g)].map(([, name = '']) => name);
}

it('every condition of the host watch has its row in docs/operations.md', () => {
  const kernel = readdirSync(join(import.meta.dirname, 'kernel-log')).filter((file) => !file.endsWith('.test.ts'));
  const files = [
    'resources.ts',
    'state-probe.ts',
    'read-only.ts',
    'container-survey.ts',
    'silent-container.ts',
    '../engine/foreign-restarts.ts',
    'watch.ts',
    'cloud/notice.ts',
    '../config-reload.ts',
    '../held-configurations.ts',
    ...kernel.map((file) => `kernel-log/${file}`),
  ];
  const names = new Set(files.flatMap(namesIn));
  expect(names.size).toBeGreaterThan(15);
  const rows = tableRows(readPage('docs/operations.md'), 'condition').map(({ cells }) => cells[0] ?? '');
  const documented = new Set(rows.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)));
  expect([...names].filter((name) => !documented.has(name))).toEqual([]);
});
