import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { configBeside, dataDirBeside, loadConfig } from './load-config.ts';

let directory: string;
let usual: string;
const write = (more: object): void => writeFileSync(usual, JSON.stringify({ version: 1, ...more }));

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-beside-'));
  usual = join(directory, 'collector.yaml');
  vi.stubEnv('RELIGHT_COLLECTOR_DATA_DIR', undefined);
  vi.stubEnv('RELIGHT_COLLECTOR_LISTEN', undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

it('a command beside the installed service has the configuration of that service', () => {
  write({ data_dir: '/srv/relight', listen: '0.0.0.0:7777', tls: { cert_file: '/etc/relight/c.pem', key_file: '/etc/relight/k.pem' } });
  const theirs = { dataDir: '/srv/relight', listen: { port: 7777 }, tls: { certFile: '/etc/relight/c.pem' } };
  expect(configBeside({}, usual)).toMatchObject(theirs);
  expect(configBeside({ dataDir: '/srv/relight/' }, usual)).toMatchObject({ listen: theirs.listen, tls: theirs.tls });
  expect(dataDirBeside({}, usual)).toBe('/srv/relight');
});

it('a command that names another data directory is about another collector', () => {
  write({ tls: { cert_file: '/etc/relight/c.pem', key_file: '/etc/relight/k.pem' } });
  expect(configBeside({ dataDir: '/srv/mine' }, usual)).toMatchObject({ dataDir: '/srv/mine', tls: null });
  vi.stubEnv('RELIGHT_COLLECTOR_DATA_DIR', '/srv/mine');
  expect(configBeside({}, usual)).toMatchObject({ dataDir: '/srv/mine', tls: null });
});

it('where nothing is installed, the defaults hold; what cannot be read is named, and not needed for a directory that is', () => {
  expect(configBeside({}, usual)).toMatchObject({ dataDir: '/var/lib/relight-collector', tls: null });
  writeFileSync(usual, 'version: 1\ndata_dir: [');
  expect(() => dataDirBeside({}, usual)).toThrow(`${usual}:2:12: Flow sequence in block collection must be`);
  expect(dataDirBeside({ dataDir: '/srv/mine' }, usual)).toBe('/srv/mine');
});

it.each([
  ['/dev/zero', 'it is longer than 4.0 MiB, so it is not what is meant'],
  ['/etc', 'EISDIR'],
  [process.execPath, 'it is longer than 4.0 MiB'],
  ['/bin/true', 'not valid for encoding utf-8'],
])('%s is no configuration, and that is said', (config, message) => {
  expect(() => loadConfig({ config })).toThrow(
    `${config} cannot be read: ${message.startsWith('not') ? 'The encoded data was ' : ''}${message}`,
  );
});
