import { expect, test } from 'vitest';
import { metricNames, selectorsOf } from './promql.ts';

test.each([
  ['up', ['up']],
  ['up{job="relight"} == 0 or absent(up{job="relight"})', ['up']],
  ['sum by (job, host) (rate(a_total{host=~"x(y)"}[5m])) / ignoring (host) group_left (job) b > 2.5', ['a_total', 'b']],
  ['histogram_quantile(0.99, sum by (le) (rate(c_bucket[$__rate_interval]))) > 1e3', ['c_bucket']],
  ['time() - d_seconds < 14 * 86400 and on (job) e offset 5m unless f', ['d_seconds', 'e', 'f']],
  ['g / 200e6 > bool Inf', ['g']],
  [`h{x='a "quoted" {y}', z!="in [5m] by (i)"}`, ['h']],
])('the metrics of %s', (expression, names) => {
  expect(metricNames(expression)).toEqual(names);
});

test('the labels that are asked for', () => {
  expect(selectorsOf('a{b="c=d", e=~"f,g=", h!~"i", j!="k"} and l')).toEqual([
    { metric: 'a', labels: ['b', 'e', 'h', 'j'] },
    { metric: 'l', labels: [] },
  ]);
});
