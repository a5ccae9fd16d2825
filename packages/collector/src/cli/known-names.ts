/** A misspelt name would be silence for ever. Only a hint: what has gone may still have lines, and what is new will have some. */
import { hostLogs } from '@relight/shared/log-stream';
import { suggest } from '@relight/shared/suggest';
import type { ApiClient, Query } from './client.ts';

/** `workloads` says whose it is, `hosts` has no workload. */
interface Named {
  readonly host?: string;
  readonly name: string;
}

/** More names than that are not compared: a hint is not worth the megabytes of all workloads of a large fleet. */
const namesMax = 2_000;

/** What to tell somebody whose selection names nothing that is known; null: it names something, or nobody can say. */
export async function unknownNames(client: ApiClient, { host, workload, label }: Query): Promise<string | null> {
  if (host === undefined && workload === undefined && label === undefined) return null;
  // A host is known without any workload, as one that is only expected, and has lines and events of its own.
  const [path, query] =
    workload === undefined || workload === hostLogs ? ['hosts', { host, label }] : ['workloads', { host, workload, label }];
  try {
    if ((await client.list(path, query, 1)).items.length > 0) return null;
    const near = await nearest(client, path, host, workload);
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

/** Of what is known by its name nothing is guessed: its labels are others. */
async function nearest(client: ApiClient, path: string, host: Query[string], workload: Query[string]): Promise<string | undefined> {
  const { items } = await client.list<Named>(path, {}, namesMax);
  const [word, nameOf] =
    path === 'hosts'
      ? [host, ({ name }: Named) => name]
      : host === undefined
        ? [workload, ({ name }: Named) => name]
        : [`${String(host)}/${String(workload)}`, (one: Named) => `${one.host}/${one.name}`];
  const names = items.map(nameOf);
  const near = typeof word !== 'string' || names.includes(word) ? undefined : suggest(word, names);
  return near !== undefined && path === 'hosts' && workload !== undefined ? `${near}/${hostLogs}` : near;
}
