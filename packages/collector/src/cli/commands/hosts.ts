import type { ApiHost } from '@relight/shared/api';
import { duration, label } from '../arguments.ts';
import { examples, type AddCommand } from '../cli.ts';
import { segment } from '../client.ts';

interface ExpectOptions {
  readonly within: string;
  readonly label?: Readonly<Record<string, string>>;
}

/** expect and forget: which hosts the fleet consists of. */
export const addHosts: AddCommand = (program, cli) => {
  program
    .command('expect')
    .summary('announce hosts that are being created')
    .description('Announces hosts that are being created: they are in the picture before they are there, and missed when they do not come.')
    .argument('<host...>', 'names of the hosts')
    .option('--within <duration>', 'how soon they must be there', duration, '25m')
    .option('--label <key=value>', 'a label of the hosts (repeatable)', label)
    .addHelpText('after', examples(['relight expect tpu-v5e-0 tpu-v5e-1 --within 25m --label pool=v5e']))
    .action(async (names: readonly string[], { within, label: labels = {} }: ExpectOptions) => {
      const client = cli.client();
      for (const name of names) {
        const host = await client.post<ApiHost>('hosts', { name, labels, within });
        await cli.io.write(`${name}: ${host.state}${host.state === 'expected' ? ` within ${within}` : ''}\n`);
      }
    });

  program
    .command('forget')
    .summary('remove a host from the picture')
    .description('Removes a host that is gone for good from the picture. Its events and logs are kept.')
    .argument('<host>', 'name of the host')
    .addHelpText('after', examples(['relight forget tpu-v5e-0']))
    .action(async (name: string) => {
      await cli.client().delete(`hosts/${segment(name)}`);
      await cli.io.write(`${name}: forgotten\n`);
    });
};
