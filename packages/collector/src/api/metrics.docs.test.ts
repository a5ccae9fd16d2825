/** docs/metrics.md has every metric of /metrics, and no other, with its type and its labels. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentMetricsSchema } from '@relight/shared/agent-metrics';
import { systemClock } from '@relight/shared/clock';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { codeOf, readPage, tableRows } from '../../../../test/support/docs.ts';
import { epoch, FakeFleet, hostRecord, workloadStatus } from '../../../../test/support/fleet-records.ts';
import { lintMetrics } from '../../../../test/support/metrics-lint.ts';
import { MemoryStore } from '../../../../test/support/memory-store.ts';
import { selfSigned } from '../access/self-signed.ts';
import { createCollector } from '../app.ts';
import { readConfig } from '../config.ts';
import { openForWriting } from '../store/database.ts';
import { tokenWrites } from '../store/token-store.ts';
import { metricsText } from './metrics-text.ts';
import { fleetMetrics } from './metrics.ts';

const rows = tableRows(readPage('docs/metrics.md'), 'metric').map(({ cells: [name, type, labels] }) => ({
  name: codeOf(name) ?? '',
  type,
  labels: (labels ?? '').split(', ').filter(Boolean),
}));

/** Of a collector with TLS, by its own door. */
async function page(): Promise<string> {
  const dataDir = mkdtempSync(join(tmpdir(), 'relight-metrics-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
  const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 86_400_000 };
  const { certPem, keyPem } = await selfSigned({ names: ['127.0.0.1'], keyPem: null, ...times });
  const [certFile, keyFile] = [join(dataDir, 'cert.pem'), join(dataDir, 'key.pem')];
  writeFileSync(certFile, certPem);
  writeFileSync(keyFile, keyPem, { mode: 0o600 });
  const config = { ...readConfig(null, [{ listen: '127.0.0.1:0', dataDir }]), tls: { certFile, keyFile } };
  const collector = await createCollector({ config, clock: systemClock, logger: pino({ level: 'silent' }), version: '1.0.0' });
  onTestFinished(() => collector.close());
  const { url } = await collector.listen();
  const db = openForWriting(dataDir);
  const { token } = tokenWrites(db).createToken('operator', null, 1);
  db.close();
  return new Promise((resolve, reject) => {
    const request = get(`${url}/metrics`, { ca: certPem, headers: { authorization: `Bearer ${token}` } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => resolve(text));
    });
    request.on('error', reject);
  });
}

const typesOf = (text: string): Map<string, string> =>
  new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]));

/** The labels of its samples, those apart that belong to a histogram's form. */
function labelsOf(text: string, name: string): readonly string[] | null {
  const line = text.split('\n').find((one) => one.startsWith(name) && /^(?:_bucket)?[ {]/.test(one.slice(name.length)));
  if (line === undefined) return null;
  return [...line.matchAll(/([a-z]+)="/g)].map(([, label = '']) => label).filter((label) => label !== 'le');
}

it('has every family of a collector with its type, and no other', async () => {
  const text = await page();
  expect(lintMetrics(text)).toEqual([]);
  const shown = [...typesOf(text)].map(([name, type]) => `${name} ${type}`);
  expect(rows.map(({ name, type }) => `${name} ${type}`).toSorted()).toEqual(shown.toSorted());
  for (const { name, labels } of rows) expect([name, labelsOf(text, name) ?? labels]).toEqual([name, labels]);
});

it('has the labels of all that hosts report', () => {
  const amounts = Object.fromEntries(Object.keys(agentMetricsSchema.shape).map((key) => [key, 1]));
  const fleet = new FakeFleet();
  fleet.put(
    hostRecord('a', {
      agent: { ...agentMetricsSchema.parse({ ...amounts, configOk: true }), receivedAt: epoch },
      conditions: [{ name: 'disk-low', subject: '/', severity: 'warning', since: 0, reason: 'r', advice: '' }],
      accelerators: [{ kind: 'gpu', index: 0, id: 'g', model: 'm', health: 'ok', reason: '', action: '', metrics: gpu }],
      workloads: [workloadStatus('w', { recoveries: { attempted: 1, succeeded: 1 } })],
    }),
  );
  const text = metricsText(fleetMetrics(fleet, new MemoryStore()));
  expect(lintMetrics(text)).toEqual([]);
  const found = [...typesOf(text).keys()].map((name) => [name, labelsOf(text, name)]);
  expect(found).toEqual(found.map(([name]) => [name, rows.find((row) => row.name === name)?.labels]));
});

const gpu = {
  utilisation: 1,
  memoryUsedBytes: 1,
  memoryTotalBytes: 1,
  temperatureCelsius: 1,
  powerWatts: 1,
  eccUncorrectable: 0,
};
