/** The examples of monitoring by themselves; test/real asks a real Prometheus about them. */
import { expect, test } from 'vitest';
import { codeOf, readPage, tableRows } from '../../../test/support/docs.ts';
import {
  alertmanagerExample,
  alertRules,
  dashboard,
  dashboardQueries,
  filledIn,
  ruleTests,
} from '../../../test/support/real/monitoring-examples.ts';
import { selectorsOf } from '../../../test/support/real/promql.ts';

const names = [...new Set(alertRules().map(({ alert }) => alert))];
const expressions = [...alertRules(), ...dashboardQueries()].map(({ expr }) => expr);

/** docs/metrics.md: name → labels, with those that Prometheus adds. */
const documented = new Map<string, readonly string[]>();
for (const { cells } of tableRows(readPage('docs/metrics.md'), 'metric')) {
  const [cell, type, labels = ''] = cells;
  const all = [...labels.split(', ').filter(Boolean), 'job', 'instance'];
  if (type === 'histogram') for (const suffix of ['_bucket', '_sum', '_count']) documented.set(`${codeOf(cell)}${suffix}`, [...all, 'le']);
  else documented.set(codeOf(cell) ?? '', all);
}
/** What Prometheus itself makes. */
const ofPrometheus = new Map([
  ['up', ['job', 'instance']],
  ['ALERTS', ['alertname', 'alertstate', 'severity']],
]);

test.each(expressions)('%s asks for metrics and labels that are documented', (expr) => {
  const selectors = selectorsOf(expr);
  expect(selectors).not.toEqual([]);
  for (const { metric, labels } of selectors) {
    const known = documented.get(metric) ?? ofPrometheus.get(metric);
    expect([metric, known === undefined ? 'unknown' : 'known']).toEqual([metric, 'known']);
    expect([metric, labels.filter((label) => known?.includes(label) !== true)]).toEqual([metric, []]);
  }
});

test.each(alertRules())('$alert says what is so, what it means and what to do', ({ labels, annotations, expr }) => {
  expect(Object.keys(annotations).toSorted()).toEqual(['description', 'runbook', 'summary']);
  for (const text of Object.values(annotations)) expect(text.length).toBeGreaterThan(15);
  // Of a label or template: an alert that nobody can route.
  expect(labels['severity']).toMatch(/^(?:warning|critical)$|\{\{/);
  // Conditions that rules name are those of the table in docs/operations.md.
  const known = new Set(tableRows(readPage('docs/operations.md'), 'condition').flatMap(({ cells }) => cells[0]?.match(/[a-z-]+/g) ?? []));
  const asked = [...expr.matchAll(/condition(?:=~|!~|=|!=)"([^"]+)"/g)].flatMap(([, text = '']) => text.split('|'));
  expect(asked.filter((name) => !known.has(name))).toEqual([]);
});

test.each(names)('%s is shown to fire, and not to', (name) => {
  const cases = ruleTests().tests.flatMap(({ promql_expr_test: one }) => one.filter(({ expr }) => expr.includes(`alertname="${name}"`)));
  expect(cases.filter(({ exp_samples: samples }) => samples.length > 0).length).toBeGreaterThan(0);
  expect(cases.filter(({ exp_samples: samples }) => samples.length === 0).length).toBeGreaterThan(0);
});

test('promtool is asked about no alert that is not there', () => {
  const asked = ruleTests().tests.flatMap(({ promql_expr_test: one }) =>
    one.flatMap(({ expr }) => expr.match(/(?<=alertname=")\w+/) ?? []),
  );
  expect([...new Set(asked)].toSorted()).toEqual(names.toSorted());
});

test('Alertmanager is told of no alert that is not there', () => {
  const mentioned = JSON.stringify(alertmanagerExample()).match(/Relight[A-Z]\w+/g) ?? [];
  expect(mentioned.filter((name) => !names.includes(name))).toEqual([]);
});

test('the dashboard is one that Grafana takes: ids once, panels that do not overlap, every query by the chosen data source', () => {
  const { panels, templating, schemaVersion, uid, title } = dashboard();
  expect(schemaVersion).toBeGreaterThanOrEqual(36);
  expect([uid, title].every((text) => text !== '' && text.length <= 40)).toBe(true);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'job', 'host']);
  const taken = new Map<string, string>();
  for (const { title: name, type, gridPos, datasource, targets = [] } of panels) {
    expect([name, gridPos.x + gridPos.w <= 24 && gridPos.w > 0 && gridPos.h > 0]).toEqual([name, true]);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        expect([name, taken.get(`${x} ${y}`)]).toEqual([name, undefined]);
        taken.set(`${x} ${y}`, name);
      }
    }
    if (type === 'row') continue;
    const chosen = '${datasource}';
    expect([name, datasource?.uid, targets.length > 0]).toEqual([name, chosen, true]);
    expect(targets.map(({ datasource: of }) => of.uid)).toEqual(targets.map(() => chosen));
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
  }
});

test('variables of the dashboard ask for documented metrics', () => {
  const queries = dashboard().templating.list.flatMap(({ type, definition = '' }) => (type === 'query' ? [filledIn(definition)] : []));
  const found = queries.map((query) => /^label_values\((\w+)(?:\{[^}]*\})?, (\w+)\)$/.exec(query)?.slice(1) ?? [query]);
  for (const [metric = '', label = ''] of found) expect([metric, documented.get(metric)?.includes(label)]).toEqual([metric, true]);
  expect(found).toHaveLength(2);
});
