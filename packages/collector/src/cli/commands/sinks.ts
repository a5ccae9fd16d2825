import type { ApiList, ApiSink, ApiSinkTest } from '@relight/shared/api';
import { RelightError } from '@relight/shared/errors';
import { severities, type Severity } from '@relight/shared/event';
import { Option } from 'commander';
import { examples, jsonDocument, viewContext, type AddCommand } from '../cli.ts';
import type { ApiClient } from '../client.ts';
import { sinksText, sinkTestLine } from '../view/sink-view.ts';

export const addSinks: AddCommand = (program, cli) => {
  program
    .command('sinks')
    .summary('where notifications go, and whether they arrive')
    .description('Where notifications of alerts go, whether they arrive there, and if not, since when, why, and how many wait.')
    .option('--json', 'one JSON document {items, next}')
    .addHelpText('after', examples(['relight sinks']))
    .action(async ({ json }: { json?: true }) => {
      const found = await cli.client().list<ApiSink>('sinks');
      await cli.io.write(json === true ? jsonDocument(found) : sinksText(found.items, viewContext(cli.io)));
    });
};

interface TestOptions {
  readonly severity: Severity;
  readonly json?: true;
}

export const addTestAlert: AddCommand = (program, cli) => {
  program
    .command('test-alert')
    .summary('post a test alert where notifications go, and see what is answered')
    .description(
      'Posts one alert RelightTest, marked as a test, to every sink or to one, as the collector posts every alert, and prints what each has ' +
        'answered. 1 when one has not taken it. Needs a token with the role operate; it is in the audit log.',
    )
    .argument('[sink]', 'only this one: its number, name or host, as in relight sinks')
    .addOption(new Option('--severity <severity>', 'for receivers that sort by it').choices(severities).default('warning'))
    .option('--json', 'one JSON document {items, next}')
    .addHelpText('after', examples(['relight test-alert', 'relight test-alert 1 --severity critical']))
    .action(async (sink: string | undefined, { severity, json }: TestOptions) => {
      const answer = await cli.client().post<ApiList<ApiSinkTest>>('sinks/test', { ...(sink === undefined ? {} : { sink }), severity });
      if (answer.items.some(({ delivered }) => !delivered)) cli.exitWith(1);
      await cli.io.write(json === true ? jsonDocument(answer) : answer.items.map((one) => sinkTestLine(one, cli.io.color)).join(''));
    });
};

/** Undefined: a collector older than this question. */
export async function readSinks(client: ApiClient): Promise<readonly ApiSink[] | undefined> {
  try {
    return (await client.list<ApiSink>('sinks')).items;
  } catch (thrown) {
    if (thrown instanceof RelightError && thrown.code === 'not-found') return undefined;
    throw thrown;
  }
}
