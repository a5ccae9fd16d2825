/** `ready`, `live` and `depends_on`. */
import { command, commandTitle } from './commands.ts';
import { defaults } from './defaults.ts';
import { list, object, oneOrMore, type Fields, type Reader } from './fields.ts';
import { choice, duration, integer, isAddress, isUrl, template, text } from './scalars.ts';
import type { CheckSpec, DependencySpec, LiveCheckSpec, ProbeSpec } from './spec.ts';

const kinds = ['tcp', 'http', 'exec'] as const;

const addressTemplate = (vars: ReadonlySet<string>): Reader<string> => template(vars, 'an address such as 10.0.0.1:6379', isAddress);
const urlTemplate = (vars: ReadonlySet<string>): Reader<string> =>
  template(vars, 'a URL that begins with http:// or https://', (value) => isUrl(value, ['http:', 'https:']));

export function dependency(vars: ReadonlySet<string>): Reader<DependencySpec> {
  return object((fields) => {
    const address = fields.optional('tcp', addressTemplate(vars), undefined);
    const url = fields.optional('http', urlTemplate(vars), undefined);
    const timeoutMs = fields.optional('timeout', duration(), defaults.dependencyTimeoutMs);
    exactlyOne(fields, ['tcp', 'http']);
    return () => (address === undefined ? { kind: 'http', url: url ?? '', timeoutMs } : { kind: 'tcp', address, timeoutMs });
  });
}

type Named<T extends CheckSpec> = Omit<T, 'name'> & { readonly name: string | undefined };

export function readyChecks(vars: ReadonlySet<string>): Reader<readonly CheckSpec[]> {
  const check = object((fields) => common(fields, vars, defaults.ready));
  return (node) => withNames(list(check)(node));
}

export function liveChecks(vars: ReadonlySet<string>, hasProcess: boolean): Reader<readonly LiveCheckSpec[]> {
  const check = object<Named<LiveCheckSpec>>((fields) => {
    const build = common(fields, vars, defaults.live);
    const failures = fields.optional('failures', integer(1), defaults.live.failures);
    const restarts = fields.optional(
      'restarts',
      choice('process', 'container', 'none'),
      hasProcess ? ('process' as const) : ('container' as const),
    );
    return () => {
      if (restarts === 'process' && !hasProcess) fields.fail('restarts', 'the workload has no process; allowed: container, none');
      return { ...build(), failures, restarts };
    };
  });
  return (node) => withNames(list(check)(node));
}

function common(
  fields: Fields,
  vars: ReadonlySet<string>,
  fallback: { readonly intervalMs: number; readonly timeoutMs: number },
): () => Named<CheckSpec> {
  const name = fields.optional('name', text, undefined);
  const address = fields.optional('tcp', addressTemplate(vars), undefined);
  const url = fields.optional('http', urlTemplate(vars), undefined);
  const run = fields.optional('exec', command, undefined);
  const from = fields.optional('from', choice('host', 'container'), undefined);
  const status = fields.optional('status', oneOrMore(integer(100, 599)), null);
  const intervalMs = fields.optional('interval', duration(), fallback.intervalMs);
  const timeoutMs = fields.optional('timeout', duration(), fallback.timeoutMs);
  fields.refuse({ ray_node: 'not supported yet (not-supported-yet); use tcp, http or exec' });
  if (!fields.node.entries.some(({ key }) => key === 'ray_node')) exactlyOne(fields, kinds);
  return () => {
    if (run !== undefined && from !== undefined) fields.fail('from', 'is for tcp and http; exec always runs in the container');
    if (url === undefined && status !== null) fields.fail('status', 'is for http only');
    const probe: ProbeSpec =
      run !== undefined
        ? { kind: 'exec', run }
        : address !== undefined
          ? { kind: 'tcp', address, from: from ?? 'host' }
          : { kind: 'http', url: url ?? '', from: from ?? 'host', status };
    return { name, probe, intervalMs, timeoutMs };
  };
}

function exactlyOne(fields: Fields, keys: readonly string[]): void {
  const given = keys.filter((key) => fields.has(key));
  if (given.length === 1) return;
  const { line, column, path } = fields.node;
  const allowed = `one of ${keys.join(', ')}`;
  fields.problem({ line, column, path, message: given.length === 0 ? `needs ${allowed}` : `has ${given.join(' and ')}; keep ${allowed}` });
}

/** Gives each check a name that is unique in its list. */
function withNames<T extends CheckSpec>(checks: readonly Named<T>[]): readonly T[] {
  const used = new Set<string>();
  return checks.map((check) => {
    const wanted = check.name ?? probeTitle(check.probe);
    let name = wanted;
    for (let n = 2; used.has(name); n += 1) name = `${wanted} (${n})`;
    used.add(name);
    return { ...check, name } as unknown as T;
  });
}

function probeTitle(probe: ProbeSpec): string {
  if (probe.kind === 'exec') return `exec ${commandTitle(probe.run)}`;
  return probe.kind === 'tcp' ? `tcp ${probe.address}` : `http ${probe.url}`;
}
