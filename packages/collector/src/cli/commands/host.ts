import type { ApiEvent, ApiHost, ApiList } from '@relight/shared/api';
import { examples, jsonDocument, viewContext, type AddCommand } from '../cli.ts';
import { segment } from '../client.ts';
import { hostText } from '../view/host-view.ts';

const eventsShown = 10;

export const addHost: AddCommand = (program, cli) => {
  program
    .command('host')
    .summary('everything known of one host')
    .description('State, metrics, workloads and last events of one host.')
    .argument('<name>', 'the host')
    .option('--json', 'one JSON document')
    .addHelpText('after', examples(['relight host tpu-v5e-0', 'relight host tpu-v5e-0 --json | jq .metrics']))
    .action(async (name: string, options: { readonly json?: true }) => {
      const client = cli.client();
      const host = await client.get<ApiHost>(`hosts/${segment(name)}`);
      if (options.json === true) return cli.io.write(jsonDocument(host));
      const events = await client.get<ApiList<ApiEvent>>('events', { host: name, limit: eventsShown });
      return cli.io.write(hostText(host, events.items.toSorted(byId), viewContext(cli.io)));
    });
};

const byId = (a: ApiEvent, b: ApiEvent): number => Number(a.id) - Number(b.id);
