import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { lookAtConfiguration, redactedConfig, secretsIn, withoutSecrets } from './configuration.ts';

let file: string;
beforeEach(() => {
  const directory = mkdtempSync(join(tmpdir(), 'relight-configuration-'));
  file = join(directory, 'collector.yaml');
  vi.stubEnv('RELIGHT_COLLECTOR_DATA_DIR', undefined);
  vi.stubEnv('RELIGHT_COLLECTOR_LISTEN', undefined);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(directory, { recursive: true });
  });
});

const piece = ({ pieces }: ReturnType<typeof lookAtConfiguration>, name: string): string =>
  pieces.find((one) => one.name === name)?.text ?? '';

const webhook =
  'https://robot:Swordfish-17@hooks.example/services/T0AB/xoxQ7Planted0Token42?key=Planted%2DInAQuery&to=ops#Planted-Fragment';
const planted = ['robot', 'Swordfish-17', 'xoxQ7Planted0Token42', 'Planted%2DInAQuery', 'Planted-InAQuery', 'Planted-Fragment'];

test('of an address stays what a sink is called by; comments go', () => {
  const shown = redactedConfig(
    `version: 1 # was ${webhook}\nlisten: 0.0.0.0:7460\nalerts: {sinks: [{type: webhook, url: "${webhook}"}]}\n`,
  );
  for (const secret of planted) expect(shown).not.toContain(secret);
  expect(shown).toContain('listen: 0.0.0.0:7460');
  expect(shown).toContain('https://hooks.example/services/T0AB/');
});

test.each([
  ['a field that is mistyped', `alerts: {sink: [{type: webhook, uri: "${webhook}"}]}`],
  ['an address without its scheme', `alerts: {sinks: [{type: webhook, url: "${webhook.slice('https://'.length)}"}]}`],
  ['an address where none belongs', `data_dir: "${webhook}"`],
])('%s tells nothing either', (_what, text) => {
  for (const secret of planted) expect(redactedConfig(`version: 1\n${text}\n`)).not.toContain(secret);
});

test('what is secret is known of a text that is no YAML, and taken out in either form', () => {
  const secrets = secretsIn(`alerts: {sinks: [{type: webhook, url: ${webhook}}]}\n  - [`);
  const told = planted.filter((secret) => secret !== 'robot').map((secret) => `x${secret}y`);
  expect(withoutSecrets(told.join(' '), secrets)).toBe(told.map(() => 'x[redacted]y').join(' '));
  // Names, ports and paths are no secrets: they would be missing everywhere else.
  expect(secretsIn('url: http://alertmanager.example:9093/api/v2/alerts')).toEqual([]);
});

test('a file that is not valid: said with its place, shown, and what can be told of it is used', () => {
  writeFileSync(file, 'version: 1\ndata_dir: /srv/relight\nlisten: 127.0.0.1:7999\nretension: {logs: 3d}\n');
  const looked = lookAtConfiguration({ config: file });
  expect(looked.config).toMatchObject({ dataDir: '/srv/relight', listen: { host: '127.0.0.1', port: 7999 } });
  expect(piece(looked, 'config-check.txt')).toBe(`${file} is NOT VALID\n${file}:4:1: retension: unknown key; did you mean "retention"?\n`);
  expect(piece(looked, 'config.yaml')).toContain('retension');
  expect(lookAtConfiguration({ config: file, dataDir: '/srv/other' }).config.dataDir).toBe('/srv/other');
});

test('one that is no YAML is not shown; one that is not there is said to be; none at all are the defaults', () => {
  writeFileSync(file, `version: 1\nalerts: [${webhook}\n`);
  const broken = lookAtConfiguration({ config: file });
  expect(broken.missing).toEqual([{ name: 'config.yaml', reason: expect.stringContaining('not YAML') as string }]);
  expect(piece(broken, 'config-check.txt')).toContain('NOT VALID');
  expect(broken.config.dataDir).toBe('/var/lib/relight-collector');
  rmSync(file);
  const gone = lookAtConfiguration({ config: file });
  expect(piece(gone, 'config-check.txt')).toContain('cannot be read');
  expect(gone.missing).toMatchObject([{ name: 'config.yaml' }]);
  const none = lookAtConfiguration({}, file);
  expect(none).toMatchObject({ missing: [], secrets: [], config: { listen: { port: 7460 } } });
  expect(piece(none, 'config-check.txt')).toContain('the defaults hold');
});

test('the file of the installed service, broken, beside another data directory: that directory is looked at', () => {
  writeFileSync(file, 'version: 1\ndata_dir: [');
  const looked = lookAtConfiguration({ dataDir: '/srv/mine' }, file);
  expect(looked.config.dataDir).toBe('/srv/mine');
  expect(piece(looked, 'config-check.txt')).toContain('NOT VALID');
});
