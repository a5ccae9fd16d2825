import type { ApiHost, ApiToken } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { duration, label } from '../arguments.ts';
import { examples, type AddCommand } from '../cli.ts';
import { type ApiClient, segment } from '../client.ts';

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
    .description(
      'Removes a host that is gone for good from the picture. Its events and logs are kept. Its token is not revoked: should its agent come ' +
        'back, it is let in again. What is said then, and how it is kept away, is printed.',
    )
    .argument('<host>', 'name of the host')
    .addHelpText('after', examples(['relight forget tpu-v5e-0']))
    .action(async (name: string) => {
      const client = cli.client();
      await client.delete(`hosts/${segment(name)}`);
      await cli.io.write(`${name}: forgotten\n`);
      cli.io.note(comesBack(name, await agentTokens(client), cli.io.clock.now()));
    });
};

/** Null: the collector does not say. What was forgotten is forgotten anyway. */
async function agentTokens(client: ApiClient): Promise<readonly ApiToken[] | null> {
  try {
    return (await client.list<ApiToken>('tokens')).items.filter(({ kind }) => kind === 'agent');
  } catch (thrown) {
    if (thrown instanceof RelightError) return null;
    throw thrown;
  }
}

/** What becomes of the agent of a host that was forgotten, should it come back; and how it is kept away, or joined anew. */
function comesBack(name: string, tokens: readonly ApiToken[] | null, now: number): string {
  const join = `relight-collector token create --kind join --host ${name}`;
  const list = 'relight-collector token list';
  if (tokens === null)
    return `Its token was not revoked: its agent, should it come back, is let in again.\nTo keep it away, on the collector: ${list}; token revoke ID`;
  const valid = tokens.filter(({ host, revokedAt, expiresAt }) => {
    const isIts = host === name || host === null;
    return isIts && revokedAt === null && (expiresAt === null || Date.parse(expiresAt) > now);
  });
  if (valid.length === 0)
    return `No valid token is left for it: its agent, should it come back, is refused, and told so.\nTo join it anew, on the collector: ${join}`;
  const revokes = valid.map(
    ({ id, host }) => `  relight-collector token revoke ${id}${host === null ? '   # for any host: others may report by it' : ''}`,
  );
  return [
    `Its token is still valid: its agent, should it come back, is let in again.`,
    'To keep it away, on the collector; it is refused then, and told so:',
    ...revokes,
    'To join it anew after that:',
    `  ${join}`,
  ].join('\n');
}
