import type { ApiAuditEntry } from '@relight/shared/api';
import { count, timeBefore } from '../arguments.ts';
import { examples, jsonDocument, type AddCommand } from '../cli.ts';
import { sanitize } from '../view/sanitize.ts';

interface AuditOptions {
  readonly actor?: string;
  readonly action?: string;
  readonly target?: string;
  readonly outcome?: string;
  readonly since?: string;
  readonly until?: string;
  readonly lines: number;
  readonly json?: true;
}

export const addAudit: AddCommand = (program, cli) => {
  const time = timeBefore(cli.io.clock.now());
  program
    .command('audit')
    .summary('who did what, and what was refused')
    .description('Who did what, from where, and what was refused, oldest first. Needs a token with the role admin.')
    .option('--actor <id>', 'only this token, or local: commands on the collector itself')
    .option('--action <action>', 'only this, like workload.restart, host.forget, token.revoke, agent.join')
    .option('--target <name>', 'only about this, like HOST or HOST/WORKLOAD')
    .option('--outcome <outcome>', 'only done, failed or refused')
    .option('--since <time>', 'from then on: how long ago (10m) or an ISO-8601 time', time)
    .option('--until <time>', 'up to then', time)
    .option('-n, --lines <count>', 'at most this many, the newest', count, 50)
    .option('--json', 'one JSON document {items, next}')
    .addHelpText('after', examples(['relight audit --since 24h', 'relight audit --outcome refused --json']))
    .action(async ({ lines, json, ...filter }: AuditOptions) => {
      const found = await cli.client().list<ApiAuditEntry>('audit', { ...filter }, lines);
      const items = found.items.toReversed();
      await cli.io.write(json === true ? jsonDocument({ items, next: found.next }) : items.map(line).join(''));
    });
};

function line({ at, actor, name, role, address, action, target, outcome, detail }: ApiAuditEntry): string {
  const who = [name ?? actor, role].filter((part) => part !== null).join(', ');
  const more = Object.entries(detail).map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return `${sanitize(`${at}  ${outcome.padEnd(7)}  ${action}  ${target ?? ''}  by ${who}${address === null ? '' : ` from ${address}`} ${more.join('')}`)}\n`;
}
