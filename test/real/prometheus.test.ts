/** The examples of monitoring with the Prometheus and the Alertmanager of Debian, over TLS and with a token. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type Lab, type LabAgent, programs, runProgram, startLab } from '../support/lab.ts';
import { type Monitoring, startMonitoring } from '../support/real/monitoring.ts';
import { alertRules, dashboard, dashboardQueries, filledIn, monitoringExamples } from '../support/real/monitoring-examples.ts';
import { metricNames } from '../support/real/promql.ts';
import { eventually, waitFor } from '../support/wait.ts';
import { startWebhook, type Webhook } from '../support/webhook.ts';

const run = promisify(execFile);
const { image, monitoring: installed } = inject('realParts');
const stays = 'stays';
const goes = 'goes';

let lab: Lab;
let hooks: Webhook;
let monitoring: Monitoring;
let leaving: LabAgent;

beforeAll(async () => {
  hooks = await startWebhook();
  // Silent for long enough to be no accident of a busy machine, and far less than what is shipped.
  const liveness = { heartbeat: '1s', suspect_after: '5s', dead_after: '10s', restart_grace: '5s' };
  lab = await startLab({ engineSocket: inject('engineSocket'), tls: true, collector: { liveness } });
  const args = ['token', 'create', '--kind', 'operator', '--role', 'view', '--name', 'prometheus', '--data-dir'];
  const token = await runProgram([programs.collector, ...args, join(lab.directory, 'collector')], {});
  const tokenFile = join(lab.directory, 'prometheus.token');
  writeFileSync(tokenFile, token.stdout, { mode: 0o600 });
  monitoring = await startMonitoring({ programs: installed, lab, tokenFile, webhookUrl: hooks.url });
  const container = { image, command: ['sleep', 'infinity'], network_mode: 'none', init: true };
  await lab.addAgent({ host: stays, workloads: [{ name: 'worker', container, process: { run: 'exec sleep infinity' } }] });
  leaving = await lab.addAgent({ host: goes, workloads: [] });
  await Promise.all([lab.fleet.waitForPhase(stays, 'worker', 'ready', 120_000), lab.fleet.waitForHost(goes, 'connected')]);
});
afterAll(async () => {
  await monitoring?.[Symbol.asyncDispose]();
  await lab?.dispose();
  await hooks?.[Symbol.asyncDispose]();
});

const promtool = async (...args: readonly string[]): Promise<string> => {
  const { stdout, stderr } = await run(installed.promtool, args, { cwd: monitoringExamples });
  return stdout + stderr;
};

test('promtool takes the example as it is, and its tests of the alerts pass', async () => {
  expect(await promtool('check', 'config', '--syntax-only', 'prometheus.yml')).toMatch(/SUCCESS/);
  expect(await promtool('check', 'rules', 'relight.rules.yml')).toMatch(new RegExp(`SUCCESS: ${alertRules().length} rules found`));
  expect(await promtool('test', 'rules', 'relight.rules.test.yml')).toMatch(/SUCCESS/);
});

test('Prometheus scrapes the collector with certificate and token, and finds nothing to complain of', async () => {
  const [target] = await waitFor(
    async () => {
      const targets = await monitoring.targets();
      return targets[0]?.health === 'up' && targets;
    },
    { what: 'the collector to be scraped', everyMs: 100 },
  );
  expect(target).toMatchObject({ scrapeUrl: `${lab.url}/metrics`, lastError: '' });
  expect(await promtool('check', 'config', monitoring.configFile)).toMatch(/SUCCESS/);
});

/** What has no series while nothing is wrong and no accelerator is there, by the title of its panel. */
const quiet = new Set([
  'Hosts that are not connected',
  'What is wrong with hosts',
  'Restarts',
  'Incidents by cause',
  'Gaps',
  'Utilisation',
  'Memory in use',
  'Accelerators that are not well',
  'Refused and failed',
  'annotations',
]);

test('every expression of rules and dashboard can be asked, and every metric in it was on the scraped page', async () => {
  const known = await waitFor(
    async () => {
      const metadata = await monitoring.metadata();
      return metadata.has('relight_agent_build_info') && metadata;
    },
    { what: 'the metadata of a scraped page', everyMs: 100 },
  );
  const names = new Set(['up', 'ALERTS']);
  for (const [name, type] of known) {
    const suffixes = type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    for (const suffix of suffixes) names.add(`${name}${suffix}`);
  }
  const queries = [...alertRules().map(({ alert, expr }) => ({ title: alert, expr })), ...dashboardQueries()];
  for (const { title, expr } of queries) {
    await monitoring.query(expr);
    expect([title, metricNames(expr).filter((name) => !names.has(name))]).toEqual([title, []]);
  }
});

test('every panel of the dashboard that has something to show shows it', async () => {
  const shown = dashboardQueries().filter(({ title }) => !quiet.has(title));
  expect(shown.length).toBeGreaterThan(quiet.size);
  // Agents measure themselves every ten seconds, and a rate needs two of them.
  await eventually(
    async () => {
      const empty = await Promise.all(
        shown.map(async ({ title, expr }) => ((await monitoring.query(expr)).length > 0 ? [] : [`${title}: ${expr}`])),
      );
      expect(empty.flat()).toEqual([]);
    },
    { timeoutMs: 60_000, everyMs: 500, what: 'every panel to have something' },
  );
});

test('the variables of the dashboard find the job and its hosts', async () => {
  const variables = dashboard().templating.list.flatMap(({ name, definition }) => (definition === undefined ? [] : [{ name, definition }]));
  const found = await Promise.all(
    variables.map(async ({ name, definition }) => {
      const [, metric = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(filledIn(definition)) ?? [];
      return [name, await monitoring.labelValues(label, metric)] as const;
    }),
  );
  expect(Object.fromEntries(found)).toEqual({ job: ['relight'], host: [goes, stays] });
});

/** The first of its kind that the receiver of Alertmanager is told. */
const told = (alertname: string, status: 'firing' | 'resolved', host?: string) =>
  waitFor(
    () =>
      hooks
        .alerts()
        .find(
          ({ labels, status: is }) => labels['alertname'] === alertname && is === status && (host === undefined || labels['host'] === host),
        ),
    { timeoutMs: 90_000, everyMs: 50, what: `${alertname} ${status} ${host ?? ''}` },
  );

test('an agent that is killed becomes an alert at the receiver of Alertmanager, and is over when it is back', async () => {
  await leaving.service.kill();
  const alert = await told('RelightHostDead', 'firing', goes);
  expect(alert.labels).toMatchObject({ job: 'relight', severity: 'critical', state: 'dead' });
  expect(alert.annotations).toMatchObject({
    summary: `${goes} has been silent for more than a minute`,
    runbook: expect.stringContaining(`relight host ${goes}`) as string,
  });
  await leaving.service.start();
  await told('RelightHostDead', 'resolved', goes);
});

test("Relight's own webhook speaks to receivers, as Alertmanager does, and not to Alertmanager", async () => {
  const own = await waitFor(
    () => lab.webhook.notifications.find(({ body }) => body.alerts.some(({ labels }) => labels['alertname'] === 'HostDead')),
    { what: "the collector's own notification", timeoutMs: 60_000 },
  );
  const relayed = hooks.notifications[0]?.body;
  // Whoever understands the one understands the other.
  expect(Object.keys(own.body).toSorted()).toEqual(Object.keys(relayed ?? {}).toSorted());
  expect(Object.keys(own.body.alerts[0] ?? {}).toSorted()).toEqual(Object.keys(relayed?.alerts[0] ?? {}).toSorted());
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${monitoring.alertmanagerUrl}/api/v2/alerts`, { method: 'POST', headers, body: JSON.stringify(own.body) });
  expect(answer.status).toBe(400);
});

test('a collector that is away is an alert, holds back all others, and is over when it is back', async () => {
  await lab.collector.stop();
  const alert = await told('RelightCollectorDown', 'firing');
  expect(alert.labels).toMatchObject({ job: 'relight', severity: 'critical' });
  // What has fired before goes on for a while in Prometheus.
  await eventually(
    async () => {
      const answer = await fetch(`${monitoring.alertmanagerUrl}/api/v2/alerts?inhibited=false`);
      const active = (await answer.json()) as readonly { readonly labels: Readonly<Record<string, string>> }[];
      expect([...new Set(active.map(({ labels }) => labels['alertname']))]).toEqual(['RelightCollectorDown']);
    },
    { everyMs: 100, what: 'Alertmanager to hold back all others' },
  );
  await lab.collector.start();
  await told('RelightCollectorDown', 'resolved');
});

interface Held {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly startsAt: string;
  readonly endsAt: string;
  readonly receivers: readonly { readonly name: string }[];
}

/** Relight's own alert, as Alertmanager has it. */
async function held(alertname: string): Promise<Held | undefined> {
  const query = new URLSearchParams({ filter: `alertname="${alertname}"` });
  const answer = await fetch(`${monitoring.alertmanagerUrl}/api/v2/alerts?${query.toString()}`);
  return ((await answer.json()) as readonly Held[]).find(({ labels }) => labels['host'] === goes);
}

test("Relight's own alerts go to Alertmanager itself, are said again while they fire, and end there", async () => {
  await lab.collector.stop();
  const configFile = join(lab.directory, 'collector.yaml');
  const config = JSON.parse(readFileSync(configFile, 'utf8')) as { alerts: { sinks: object[] } };
  config.alerts.sinks.push({ type: 'alertmanager', url: monitoring.alertmanagerUrl });
  writeFileSync(configFile, JSON.stringify(config));
  await lab.collector.start();
  await lab.fleet.waitForHost(goes, 'connected');
  await leaving.service.kill();
  const first = await waitFor(() => held('HostDead'), { what: 'the alert in Alertmanager', timeoutMs: 60_000, everyMs: 100 });
  expect(first.labels).toEqual({ alertname: 'HostDead', host: goes, severity: 'critical' });
  expect(first.annotations['summary']).toContain(goes);
  expect(first.receivers.map(({ name }) => name)).toEqual(['pager']);
  expect((await told('HostDead', 'firing', goes)).labels).toEqual(first.labels);
  // Its resolve_timeout, from the moment of receipt on.
  expect(Date.parse(first.endsAt) - Date.now()).toBeGreaterThan(4 * 60_000);
  const again = await waitFor(
    async () => {
      const now = await held('HostDead');
      return now !== undefined && Date.parse(now.endsAt) >= Date.parse(first.endsAt) + 30_000 && now;
    },
    { what: 'it to be said again', timeoutMs: 120_000, everyMs: 500 },
  );
  expect(again.startsAt).toBe(first.startsAt);
  await leaving.service.start();
  await told('HostDead', 'resolved', goes);
  expect(await held('HostDead')).toBeUndefined();
});
