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

/** A series is shown once, whatever an agent sends: Prometheus refuses the whole page for a second one of the same labels. */
export function metricsText(families: readonly MetricFamily[]): string {
  const lines: string[] = [];
  const shown = new Set<string>();
  for (const { name, help, type, samples } of families) {
    lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    for (const { suffix = '', labels = {}, value } of samples) {
      const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
      const series = `${name}${suffix}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`}`;
      if (shown.has(series)) continue;
      shown.add(series);
      lines.push(`${series} ${number(value)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
