/** A misspelt name would be silence for ever. Only a hint: what has gone may still have lines, and what is new will have some. */
import { hostLogs } from '@relight/shared/log-stream';
import { suggest } from '@relight/shared/suggest';
import type { ApiClient, Query } from './client.ts';

interface Named {
  readonly host: string;
  readonly name?: string;
}

/** More names than that are not compared: a hint is not worth the megabytes of all workloads of a large fleet. */
const namesMax = 2_000;

/** What to tell somebody whose selection names nothing that is known; null: it names something, or nobody can say. */
export async function unknownNames(client: ApiClient, { host, workload, label }: Query): Promise<string | null> {
  if (host === undefined && workload === undefined && label === undefined) return null;
  // A host has lines of its own without any workload.
  const [path, query] = workload === hostLogs ? ['hosts', { host, label }] : ['workloads', { host, workload, label }];
  try {
    if ((await client.list(path, query, 1)).items.length > 0) return null;
    const near = await nearest(client, host, workload);
    return `nothing is known of ${wanted({ host, workload, label })}${near === undefined ? '' : `; did you mean ${near}?`}`;
  } catch {
    // The answer itself tells what is wrong.
    return null;
  }
}

function wanted({ host, workload, label }: Query): string {
  const name = [host, workload].filter((part) => part !== undefined).join('/');
  const labels = label === undefined ? [] : [`label ${String(label)}`];
  return [...(name === '' ? [] : [name]), ...labels].join(' with ');
}

async function nearest(client: ApiClient, host: Query[string], workload: Query[string]): Promise<string | undefined> {
  const { items } = await client.list<Named>('workloads', {}, namesMax);
  if (typeof workload !== 'string')
    return typeof host === 'string'
      ? suggest(
          host,
          items.map((item) => item.host),
        )
      : undefined;
  if (typeof host !== 'string')
    return suggest(
      workload,
      items.map(({ name }) => name ?? ''),
    );
  return suggest(
    `${host}/${workload}`,
    items.map((item) => `${item.host}/${item.name}`),
  );
}
