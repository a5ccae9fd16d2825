/** The command that shows more of what an alert is about, for whoever is woken by it. Pure. */
import { quoteShellWords } from '@relight/shared/shell-quote';
import type { AlertRecord } from '../store/store.ts';

/** Names come from hosts: what is typed from a page must be words, whatever stands in them. */
export function runbookOf({ host, workload }: Pick<AlertRecord, 'host' | 'workload'>): string {
  if (host === '') return 'relight status';
  if (workload === null) return quoteShellWords(['relight', 'host', host]);
  const of = ['--host', host, '--workload', workload];
  return `${quoteShellWords(['relight', 'incidents', ...of])}; its last lines: ${quoteShellWords(['relight', 'tail', ...of, '--previous'])}`;
}
