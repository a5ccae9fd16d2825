/**
 * A page of metrics judged as strictly as Prometheus parses it, and by the rules of `promtool check metrics`: HELP and TYPE once and
 * before the samples, a family in one piece, no series twice, names and units, histograms that are whole.
 */
const metricName = /^[a-z][a-z0-9_]*$/;
const sample =
  /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (NaN|[+-]Inf|[+-]?[0-9.]+(?:e[+-]?\d+)?)$/;
/** Not base units, and words for what the TYPE says already. */
const badEndings =
  /_(?:ms|milliseconds|minutes|hours|days|kb|mb|kilobytes|megabytes|percent|fahrenheit|gauge|counter|histogram)(?:_total)?$/;

interface Family {
  readonly type: string;
  readonly series: Set<string>;
}

/** One line for each fault; none: Prometheus takes it, and promtool has nothing to say. */
export function lintMetrics(page: string): readonly string[] {
  const faults: string[] = [];
  const families = new Map<string, Family>();
  const helped = new Set<string>();
  let current = '';
  if (!page.endsWith('\n')) faults.push('the last line does not end');
  for (const line of page.split('\n').slice(0, -1)) {
    const [, comment, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (comment === 'HELP') {
      if (helped.has(name)) faults.push(`${name}: a second HELP`);
      if (rest === '') faults.push(`${name}: no help`);
      helped.add(name);
    } else if (comment === 'TYPE') {
      if (families.has(name)) faults.push(`${name}: a second TYPE`);
      families.set(name, { type: rest, series: new Set() });
      faults.push(...ofName(name, rest, helped.has(name)));
      current = name;
    } else faults.push(...ofSample(line, current, families.get(current)));
  }
  for (const [name, { type, series }] of families) if (type === 'histogram') faults.push(...ofHistogram(name, series));
  return faults;
}

function ofName(name: string, type: string, hasHelp: boolean): string[] {
  const faults: string[] = [];
  if (!hasHelp) faults.push(`${name}: no HELP before its TYPE`);
  if (!metricName.test(name)) faults.push(`${name}: not lower case with underscores`);
  if (!['counter', 'gauge', 'histogram'].includes(type)) faults.push(`${name}: what is a ${type}?`);
  if ((type === 'counter') !== name.endsWith('_total')) faults.push(`${name}: a ${type}, and _total is for counters, all of them`);
  if (badEndings.test(name)) faults.push(`${name}: not a base unit, or a word for its type`);
  if (type !== 'histogram' && /_(?:bucket|count|sum)$/.test(name)) faults.push(`${name}: that ending is for histograms`);
  return faults;
}

function ofSample(line: string, current: string, family: Family | undefined): string[] {
  const [, name = '', labels = '', value = ''] = sample.exec(line) ?? [];
  if (name === '') return [`not a sample: ${line}`];
  const suffix = name.slice(current.length);
  const allowed = family?.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
  if (family === undefined || !name.startsWith(current) || !allowed.includes(suffix)) return [`${name}: not below its TYPE`];
  const keys = [...labels.matchAll(/([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"/g)].map(([, key]) => key ?? '');
  const series = `${suffix}{${labels}}`;
  const faults = family.series.has(series) ? [`${name}{${labels}}: twice`] : [];
  family.series.add(series);
  if (new Set(keys).size !== keys.length) faults.push(`${line}: a label twice`);
  if (family.type === 'counter' && !(Number(value) >= 0)) faults.push(`${line}: a counter below zero`);
  if ((suffix === '_bucket') !== keys.includes('le')) faults.push(`${line}: le belongs to buckets`);
  return faults;
}

/** For every combination of labels: a bucket +Inf, a sum and a count. */
function ofHistogram(name: string, series: ReadonlySet<string>): string[] {
  const counts = [...series].filter((one) => one.startsWith('_count'));
  const buckets = [...series].filter((one) => one.startsWith('_bucket') && one.includes('le="+Inf"'));
  const sums = [...series].filter((one) => one.startsWith('_sum'));
  return counts.length === buckets.length && sums.length === buckets.length ? [] : [`${name}: a histogram is not whole`];
}
