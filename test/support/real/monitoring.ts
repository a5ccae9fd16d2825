/**
 * A real Prometheus and a real Alertmanager with the examples of the package, brought to where the lab is and hurried: they look every
 * second, and what an alert has to last for (`for`) is a second as well. All else is as it is shipped.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Lab } from '../lab.ts';
import { freePort } from '../ports.ts';
import { Service } from '../service.ts';
import { alertmanagerExample, prometheusExample, ruleFile } from './monitoring-examples.ts';
import type { PrometheusPrograms } from './prometheus-programs.ts';

interface Target {
  readonly health: 'up' | 'down' | 'unknown';
  readonly lastError: string;
  readonly scrapeUrl: string;
}

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [seconds: number, value: string];
}

export interface Monitoring extends AsyncDisposable {
  readonly prometheus: Service;
  readonly alertmanager: Service;
  /** Of what Prometheus was started with. */
  readonly configFile: string;
  readonly alertmanagerUrl: string;
  targets(): Promise<readonly Target[]>;
  /** @throws what Prometheus says of an expression that it cannot evaluate */
  query(expression: string): Promise<readonly Series[]>;
  /** Types by name, of every metric that was on a scraped page, with series or without. */
  metadata(): Promise<ReadonlyMap<string, string>>;
  labelValues(label: string, metric: string): Promise<readonly string[]>;
}

export interface MonitoringOptions {
  readonly programs: PrometheusPrograms;
  readonly lab: Lab;
  /** A file with the token that Prometheus shows. */
  readonly tokenFile: string;
  /** What Alertmanager's receivers are pointed at. */
  readonly webhookUrl: string;
}

export async function startMonitoring(options: MonitoringOptions): Promise<Monitoring> {
  const { programs, lab } = options;
  const directory = join(lab.directory, 'monitoring');
  mkdirSync(directory, { recursive: true });
  const [prometheusAt, alertmanagerAt] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const configFile = join(directory, 'prometheus.yml');
  writeFileSync(join(directory, 'relight.rules.yml'), stringify(hurriedRules()));
  writeFileSync(configFile, stringify(prometheusConfig(options, alertmanagerAt)));
  writeFileSync(join(directory, 'alertmanager.yml'), stringify(alertmanagerConfig(options.webhookUrl)));
  const prometheus = new Service({
    name: 'prometheus',
    program: programs.prometheus,
    args: [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(directory, 'prometheus')}`,
      `--web.listen-address=${prometheusAt}`,
      '--log.level=warn',
    ],
    logFile: join(directory, 'prometheus.log'),
    isUp: () => isReady(`http://${prometheusAt}`),
  });
  const alertmanager = new Service({
    name: 'alertmanager',
    program: programs.alertmanager,
    args: [
      `--config.file=${join(directory, 'alertmanager.yml')}`,
      `--storage.path=${join(directory, 'alertmanager')}`,
      `--web.listen-address=${alertmanagerAt}`,
      '--cluster.listen-address=',
    ],
    // Debian's looks for its templates in /usr/share alone, where they are not installed: it alone sees them there.
    through: ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', 'mount --bind "$0" /usr/share && exec "$@"', programs.share],
    logFile: join(directory, 'alertmanager.log'),
    isUp: () => isReady(`http://${alertmanagerAt}`),
  });
  const stop = async (): Promise<void> => {
    await Promise.all([prometheus.kill(), alertmanager.kill()]);
  };
  try {
    await Promise.all([prometheus.start(), alertmanager.start()]);
  } catch (error) {
    await stop();
    throw error;
  }
  const ask = async <T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> => {
    const answer = await fetch(`http://${prometheusAt}/api/v1/${path}?${new URLSearchParams(query).toString()}`);
    const body = (await answer.json()) as { status: string; error?: string; data: T };
    if (body.status !== 'success') throw new Error(`${body.error ?? answer.status}: ${JSON.stringify(query)}`);
    return body.data;
  };
  return {
    prometheus,
    alertmanager,
    configFile,
    alertmanagerUrl: `http://${alertmanagerAt}`,
    targets: async () => (await ask<{ activeTargets: readonly Target[] }>('targets')).activeTargets,
    query: async (query) => {
      const { resultType, result } = await ask<{ resultType: string; result: readonly Series[] }>('query', { query });
      if (resultType !== 'vector') throw new Error(`${query} is a ${resultType}`);
      return result;
    },
    metadata: async () => {
      const all = await ask<Readonly<Record<string, readonly { readonly type: string }[]>>>('metadata');
      return new Map(Object.entries(all).map(([name, [first]]) => [name, first?.type ?? '']));
    },
    labelValues: (label, metric) => ask<readonly string[]>(`label/${label}/values`, { 'match[]': metric }),
    [Symbol.asyncDispose]: stop,
  };
}

async function isReady(url: string): Promise<boolean> {
  return (await fetch(`${url}/-/ready`, { signal: AbortSignal.timeout(5_000) }).catch(() => null))?.ok === true;
}

/** Alerts that are to last fire after a second: their `for` is what promtool's tests are about. */
function hurriedRules(): object {
  const groups = ruleFile().groups.map(({ name, rules }) => ({
    name,
    rules: rules.map((rule) => (rule.for === undefined ? rule : { ...rule, for: '1s' })),
  }));
  return { groups };
}

function prometheusConfig({ lab, tokenFile }: MonitoringOptions, alertmanagerAt: string): object {
  const example = prometheusExample();
  const [job] = example['scrape_configs'] as readonly Readonly<Record<string, unknown>>[];
  return {
    ...example,
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanagerAt] }] }] },
    scrape_configs: [
      {
        ...job,
        authorization: { credentials_file: tokenFile },
        tls_config: { ca_file: lab.certificateFile },
        static_configs: [{ targets: [new URL(lab.url).host] }],
      },
    ],
  };
}

function alertmanagerConfig(webhookUrl: string): object {
  const example = alertmanagerExample();
  const receivers = example['receivers'] as readonly { readonly name: string }[];
  const { routes, ...route } = example['route'] as { readonly routes: readonly object[] };
  const hurry = { group_wait: '0s', group_interval: '1s' };
  return {
    ...example,
    route: { ...route, ...hurry, routes: routes.map((one) => ({ ...one, ...hurry })) },
    receivers: receivers.map(({ name }) => ({ name, webhook_configs: [{ url: webhookUrl }] })),
  };
}
