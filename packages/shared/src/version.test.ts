import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { version } from './version.ts';

test.each(['..', '../../agent', '../../collector', '../../..'])('the version is that of %s/package.json', (directory) => {
  const file = readFileSync(new URL(`${directory}/package.json`, import.meta.url), 'utf8');
  expect(JSON.parse(file)).toMatchObject({ version });
});
