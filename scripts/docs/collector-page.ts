/** docs/reference/collector-configuration.md, out of the schema that reads the file. */
import { collectorFields } from '@relight/collector/config-reference';
import { notice, table } from './table.ts';

const head = `# Collector configuration: every field

${notice('packages/collector/src/config.ts')}

\`RELIGHT_COLLECTOR_LISTEN\` and \`RELIGHT_COLLECTOR_DATA_DIR\` win over the file, the flags \`--listen\` and \`--data-dir\` over both. A change is used from the next
start of the collector on, certificate files apart; nothing of it restarts anything on a host. An example: [configuration.md](../configuration.md#the-collector).`;

export function collectorPage(): string {
  const rows = collectorFields().map(({ path, value, given, text }) => [
    `\`${path}\``,
    value,
    given === null ? 'required' : `\`${given}\``,
    text,
  ]);
  return `${head}\n\n${table(['collector field', 'value', 'default', ''], rows)}\n`;
}
