import { examples, jsonDocument, viewContext, type AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { incidentText, incidentsText, type Incident } from '../view/incident-view.ts';

interface IncidentsOptions {
  readonly host?: string;
  readonly workload?: string;
  readonly json?: true;
}

export const addIncidents: AddCommand = (program, cli) => {
  program
    .command('incidents')
    .summary('failures and their recovery, with evidence')
    .description('Failures and their recovery; with an ID: one of them with its timeline and evidence.')
    .argument('[id]', 'one incident')
    .option('--host <name>', 'only this host')
    .option('--workload <name>', 'only this workload')
    .option('--json', 'one JSON document')
    .addHelpText('after', examples(['relight incidents --host tpu-v5e-0', 'relight incidents 01J9Z --json']))
    .action(async (id: string | undefined, { host, workload, json }: IncidentsOptions) => {
      const client = cli.client();
      if (id !== undefined) {
        const incident = await client.get<Incident>(`incidents/${segment(id)}`);
        return cli.io.write(json === true ? jsonDocument(incident) : incidentText(incident, viewContext(cli.io)));
      }
      const found = await client.list<Incident>('incidents', { host, workload });
      return cli.io.write(json === true ? jsonDocument(found) : incidentsText(found.items, viewContext(cli.io)));
    });
};
