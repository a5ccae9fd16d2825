/** What the documents show as an operator's file is one that `relight` takes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isOperatorExample, yamlExamples } from '../../../../test/support/docs.ts';
import { readOperatorFile } from './operator-file.ts';

const examples = yamlExamples().filter(isOperatorExample);

test('the documents show one', () => {
  expect(examples.map(({ place }) => place)).toContainEqual(expect.stringMatching(/^docs\/operations\.md:/));
});

test.each(examples)('$place is taken', ({ text }) => {
  const directory = mkdtempSync(join(tmpdir(), 'relight-operator-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'operator.yaml');
  writeFileSync(file, text, { mode: 0o600 });
  expect(readOperatorFile([file], (url) => url)).toMatchObject({ url: expect.stringMatching(/^https:/), token: expect.any(String) });
});
