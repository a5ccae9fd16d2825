/** The status line of the service is for every user of the machine; its configuration is not. */
import { RelightError } from '@relight/shared/errors';
import { refusalText } from '@relight/shared/start-refusal';
import { expect, test } from 'vitest';
import { holdsSecret, plantedSecrets } from '../../../test/support/planted-secrets.ts';
import { readTls } from './access/tls-files.ts';
import { readConfig } from './config.ts';

const document = {
  version: 1,
  listen: '127.0.0.1:7460',
  data_dir: '/var/lib/relight-collector',
  tls: { cert_file: '/c.pem', key_file: '/k.pem' },
  trusted_proxies: ['10.0.0.0/8'],
  forget: [{ label: 'pool=spot', after: '1h' }],
  liveness: { heartbeat: '10s', suspect_after: '25s' },
  alerts: {
    repeated_restarts: { warning: '3 in 10m' },
    host_dead: { severity: 'critical' },
    sinks: [{ type: 'webhook', url: 'http://alerts.example/hook' }],
  },
  retention: { logs: '14d', logs_bytes: '50gb' },
};

function refusalOf(work: () => unknown): RelightError | null {
  try {
    work();
    return null;
  } catch (thrown) {
    if (thrown instanceof RelightError) return thrown;
    throw thrown;
  }
}

test('wherever a secret has slipped into a configuration that is refused, the status line does not have it', () => {
  expect(readConfig({ file: 'collector.yaml', text: JSON.stringify(document) }).tls?.keyFile).toBe('/k.pem');
  const told: string[] = [];
  let quoting = 0;
  for (const text of plantedSecrets(document)) {
    const refused = refusalOf(() => readConfig({ file: 'collector.yaml', text }));
    if (refused === null) continue;
    if (holdsSecret(refused.message)) quoting += 1;
    const line = `${refusalText(refused, 'relight-collector check')} ${JSON.stringify(refused.data)}`;
    if (holdsSecret(line) || !/collector\.yaml:\d+:\d+/.test(line)) told.push(`${text}\n${line}`);
  }
  expect(told).toEqual([]);
  // What the service's own user is told does name it.
  expect(quoting).toBeGreaterThan(100);
});

test('nor has it what stands for the name of a certificate or a key', () => {
  const refused = refusalOf(() => readTls({ certFile: '/nowhere/hunter2.pem', keyFile: '/nowhere/hunter2.key' }));
  expect(refused?.message).toContain('/nowhere/hunter2.pem');
  expect(refused === null ? '' : refusalText(refused, 'relight-collector check')).toBe(
    'does not start: tls.cert_file: is not valid. See why, and correct it: relight-collector check',
  );
});
