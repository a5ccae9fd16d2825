import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readConfig } from './config.ts';

const file = join(import.meta.dirname, '../examples/collector.yaml');
const text = readFileSync(file, 'utf8');

test('the configuration that the package brings is the defaults', () => {
  expect(readConfig({ file, text })).toEqual(readConfig(null));
});

test('what it shows as comments is valid, and the defaults but for the sinks', () => {
  const shown = readConfig({ file, text: text.replaceAll(/^# (?=\S+: |  )/gm, '').replaceAll(/^#? ?(alerts:)$/gm, '$1') });
  const { alerts, ...rest } = shown;
  const { alerts: defaults, ...others } = readConfig(null);
  expect(rest).toEqual(others);
  expect({ ...alerts, sinks: [] }).toEqual(defaults);
  expect(alerts.sinks.map(({ type }) => type)).toEqual(['webhook', 'alertmanager']);
});
