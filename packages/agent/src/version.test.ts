import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { agentVersion } from './version.ts';

test('the version is that of the package', () => {
  const file = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  expect(JSON.parse(file)).toMatchObject({ version: agentVersion });
});
