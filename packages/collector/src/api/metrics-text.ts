/** Prometheus' text format, version 0.0.4. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly MetricSample[];
}
export interface MetricSample {
  /** Of a histogram: `_bucket`, `_sum`, `_count`. */
  readonly suffix?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

const escapeHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
const escapeLabel = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');

/** What JavaScript calls Infinity is +Inf here. */
const number = (value: number): string => (Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf');

const labelText = (labels: NonNullable<MetricSample['labels']>): string => {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
};

/** So many lines take a few milliseconds. */
const pieceLines = 2_000;

/** The page in one go. */
export const metricsText = (families: Iterable<MetricFamily>): string => [...metricsPieces(families)].join('');

/**
 * The page in pieces of whole lines, one at least for every family, so that somebody else may have his turn in between; a family is
 * asked for when those before it are written.
 *
 * A series is shown once, whatever an agent sends: Prometheus refuses the whole page for a second one of the same labels. The same labels,
 * of one host in dozens of families, are written out once: a fleet has hundreds of thousands of series.
 */
export function* metricsPieces(families: Iterable<MetricFamily>): Generator<string> {
  const texts = new WeakMap<object, string>();
  const textOf = (labels: NonNullable<MetricSample['labels']>): string => {
    const known = texts.get(labels);
    if (known !== undefined) return known;
    const text = labelText(labels);
    texts.set(labels, text);
    return text;
  };
  for (const { name, help, type, samples } of families) {
    let lines = [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`];
    const shown = new Set<string>();
    for (const { suffix = '', labels, value } of samples) {
      const text = labels === undefined ? '' : textOf(labels);
      const series = suffix === '' ? text : `${suffix}${text}`;
      if (shown.has(series)) continue;
      shown.add(series);
      lines.push(`${name}${series} ${number(value)}`);
      if (lines.length < pieceLines) continue;
      yield textOfLines(lines);
      lines = [];
    }
    if (lines.length > 0) yield textOfLines(lines);
  }
}

const textOfLines = (lines: readonly string[]): string => `${lines.join('\n')}\n`;
