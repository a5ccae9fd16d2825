import { Option } from 'commander';
import type { ApiIncident } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { evidenceText } from '@relight/shared/incident-view';
import { levels, type Level } from '@relight/shared/phase';
import { count, timeBefore } from '../arguments.ts';
import { examples, jsonDocument, viewContext, type AddCommand, type Cli } from '../cli.ts';
import { segment } from '../client.ts';
import { incidentText, incidentsText } from '../view/incident-view.ts';
import { sanitize } from '../view/sanitize.ts';

interface IncidentsOptions {
  readonly host?: string;
  readonly workload?: string;
  readonly code?: string;
  readonly level?: Level;
  readonly open?: true;
  readonly since?: string;
  readonly until?: string;
  readonly last: number;
  readonly full?: true;
  readonly evidence?: string;
  readonly json?: true;
}

export const addIncidents: AddCommand = (program, cli) => {
  const time = timeBefore(cli.io.clock.now());
  program
    .command('incidents')
    .summary('failures and their recovery: the cause, what was done, the evidence')
    .description('Failures and their recovery, newest first; with an ID: one of them, its cause first, its timeline and evidence.')
    .argument('[id]', 'one incident; the beginning of its id is enough')
    .option('--host <name>', 'only this host')
    .option('--workload <name>', 'only this workload')
    .option('--code <code>', 'only this cause, like process-oom or mount-lost')
    .addOption(new Option('--level <level>', 'only this level').choices(levels))
    .option('--open', 'only those that are not over')
    .option('--since <time>', 'open then or later: 10m (ago) or a time', time)
    .option('--until <time>', 'opened by then: 10m (ago) or a time', time)
    .option('-n, --last <n>', 'so many', count, 50)
    .option('--full', 'of one: all of its evidence')
    .option('--evidence <name>', 'of one: this piece of its evidence, nothing else')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      examples([
        'relight incidents --since 1h',
        'relight incidents 20260131-1200',
        'relight incidents 20260131-1200 --evidence log:process',
      ]),
    )
    .action(async (id: string | undefined, options: IncidentsOptions) => {
      if (id !== undefined) return showOne(cli, id, options);
      if (options.full === true || options.evidence !== undefined) {
        throw new RelightError('usage', 'evidence is shown of one incident', { advice: 'Give its ID: relight incidents ID.' });
      }
      const { host, workload, code: kind, level, since, until } = options;
      const state = options.open === true ? 'open' : undefined;
      const found = await cli.client().list<ApiIncident>('incidents', { host, workload, kind, level, since, until, state }, options.last);
      return cli.io.write(options.json === true ? jsonDocument(found) : incidentsText(found.items, viewContext(cli.io)));
    });
};

async function showOne(cli: Cli, id: string, { host, full, evidence, json }: IncidentsOptions): Promise<void> {
  const incident = await cli.client().get<ApiIncident>(`incidents/${segment(id)}`, { host });
  if (evidence !== undefined) {
    const lines = evidenceText(incident, evidence, sanitize);
    if (lines === undefined) {
      const names = incident.evidence.map(({ name }) => name).join(', ');
      throw new RelightError('not-found', `incident ${incident.id} has no evidence "${evidence}"; it has: ${names || 'none'}`);
    }
    return cli.io.write(json === true ? jsonDocument(incident.evidence.find(({ name }) => name === evidence)) : `${lines.join('\n')}\n`);
  }
  return cli.io.write(json === true ? jsonDocument(incident) : incidentText(incident, viewContext(cli.io), full === true));
}
