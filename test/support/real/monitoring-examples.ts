/** The examples of monitoring that the package of the collector brings, as data. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export const monitoringExamples = join(import.meta.dirname, '../../../packages/collector/examples/monitoring');
const read = (name: string): string => readFileSync(join(monitoringExamples, name), 'utf8');

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly AlertRule[] }[];
}

export const ruleFile = (): RuleFile => parse(read('relight.rules.yml')) as RuleFile;
export const alertRules = (): readonly AlertRule[] => ruleFile().groups.flatMap(({ rules }) => rules);

/** What is given to promtool. */
export interface RuleTests {
  readonly tests: readonly {
    readonly promql_expr_test: readonly { readonly expr: string; readonly exp_samples: readonly { readonly labels: string }[] }[];
  }[];
}
export const ruleTests = (): RuleTests => parse(read('relight.rules.test.yml')) as RuleTests;

/** Of Prometheus' and Alertmanager's own configuration no more than a test has to change. */
export const prometheusExample = (): Record<string, unknown> => parse(read('prometheus.yml')) as Record<string, unknown>;
export const alertmanagerExample = (): Record<string, unknown> => parse(read('alertmanager.yml')) as Record<string, unknown>;

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[] };
  readonly annotations: { readonly list: readonly { readonly expr?: string }[] };
}
export const dashboard = (): Dashboard => JSON.parse(read('grafana-dashboard.json')) as Dashboard;

/** Every expression of the dashboard with the title of its panel, variables filled in as Grafana does for all hosts. */
export function dashboardQueries(): readonly { readonly title: string; readonly expr: string }[] {
  const { panels, annotations } = dashboard();
  const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
  const more = annotations.list.flatMap(({ expr }) => (expr === undefined ? [] : [{ title: 'annotations', expr }]));
  return [...queries, ...more].map(({ title, expr }) => ({ title, expr: filledIn(expr) }));
}

const values: Readonly<Record<string, string>> = { job: 'relight', host: '.*', __rate_interval: '1m', __interval: '15s', __range: '6h' };

/** @throws where a variable is none of Grafana's and none of the dashboard's own */
export function filledIn(text: string): string {
  return text.replaceAll(/\$\{?(\w+)\}?/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`$${name} is no variable of the dashboard: ${text}`);
    return value;
  });
}
