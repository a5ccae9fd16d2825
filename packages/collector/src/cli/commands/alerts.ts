import type { ApiAlert } from '@relight/shared/api';
import { examples, jsonDocument, viewContext, type AddCommand } from '../cli.ts';
import { alertsText } from '../view/event-view.ts';

interface AlertsOptions {
  readonly all?: true;
  readonly host?: string;
  readonly workload?: string;
  readonly json?: true;
}

export const addAlerts: AddCommand = (program, cli) => {
  program
    .command('alerts')
    .summary('what needs a person')
    .description('Alerts that fire now.')
    .option('--all', 'those that are resolved, too')
    .option('--host <name>', 'only this host')
    .option('--workload <name>', 'only this workload')
    .option('--json', 'one JSON document {items, next}')
    .addHelpText('after', examples(['relight alerts', 'relight alerts --all --host tpu-v5e-0 --json']))
    .action(async ({ all, host, workload, json }: AlertsOptions) => {
      const found = await cli.client().list<ApiAlert>('alerts', { host, workload, ...(all === true ? {} : { state: 'firing' }) });
      const items = all === true ? found.items : found.items.filter((alert) => alert.state === 'firing');
      await cli.io.write(json === true ? jsonDocument({ items, next: found.next }) : alertsText(items, viewContext(cli.io)));
    });
};
