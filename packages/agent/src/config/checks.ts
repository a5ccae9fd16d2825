/** `ready`, `live` and `depends_on`. */
import { isIP } from 'node:net';
import { command, commandTitle } from './commands.ts';
import { defaults } from './defaults.ts';
import { list, object, oneOrMore, type Fields, type Reader } from './fields.ts';
import { choice, duration, integer, isAddress, isUrl, template, text } from './scalars.ts';
import type { CheckSpec, DependencySpec, LiveCheckSpec, ProbeSpec, VolumesProbe } from './spec.ts';

const kinds = ['tcp', 'http', 'exec', 'ray_node', 'gpu', 'volumes'] as const;

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

const rayNode = (vars: ReadonlySet<string>) =>
  object((fields) => {
    const dashboard = fields.required('dashboard', urlTemplate(vars));
    const nodeIp = fields.optional(
      'node_ip',
      template(vars, 'an IP address', (value) => isIP(value) !== 0),
      null,
    );
    const graceMs = fields.optional('grace', duration(0), undefined);
    return () => ({ probe: { kind: 'ray-node' as const, dashboard, nodeIp }, graceMs });
  });

const gpuCheck: Reader<Extract<ProbeSpec, { kind: 'gpu' }>> = object(() => () => ({ kind: 'gpu', automatic: false }));

/** Of which container is known when the whole workload has been read (automatic-checks.ts). */
const volumesCheck: Reader<VolumesProbe> = object(() => () => ({ kind: 'volumes', binds: [], except: [] }));

/** They look at what only a new container gets anew, and have defaults of their own. */
const ofContainer: Readonly<Partial<Record<ProbeSpec['kind'], { readonly failures: number; readonly what: string }>>> = {
  gpu: { failures: defaults.gpu.failures, what: 'its GPUs' },
  volumes: { failures: defaults.volumes.failures, what: 'its volumes' },
};

type Named<T extends CheckSpec> = Omit<T, 'name'> & { readonly name: string | undefined };
/** `graceMs`: of a ray_node, where it is given. */
type Common = Named<CheckSpec> & { readonly graceMs?: number | undefined };

export function readyChecks(vars: ReadonlySet<string>): Reader<readonly CheckSpec[]> {
  const check = object((fields) => {
    const build = common(fields, vars, defaults.ready);
    return () => {
      // What readiness may take is bounded by ready_window.
      const { graceMs: _grace, ...rest } = build();
      return rest;
    };
  });
  return (node) => withNames(list(check)(node));
}

export function liveChecks(vars: ReadonlySet<string>, hasProcess: boolean): Reader<readonly LiveCheckSpec[]> {
  const check = object<Named<LiveCheckSpec>>((fields) => {
    const build = common(fields, vars, defaults.live);
    const failures = fields.optional('failures', integer(1), undefined);
    const chosen = fields.optional('restarts', choice('process', 'container', 'none'), undefined);
    return () => {
      const { graceMs, ...rest } = build();
      const whole = ofContainer[rest.probe.kind];
      const restarts = chosen ?? (hasProcess && whole === undefined ? 'process' : 'container');
      if (restarts === 'process' && !hasProcess) fields.fail('restarts', 'the workload has no process; allowed: container, none');
      if (restarts === 'process' && whole !== undefined)
        fields.fail('restarts', `only a new container gets ${whole.what} back; allowed: container, none`);
      if (graceMs !== undefined && failures !== undefined) fields.fail('failures', 'says the same as ray_node.grace; keep one of them');
      const ofGrace = graceMs === undefined ? undefined : 1 + Math.ceil(graceMs / rest.intervalMs);
      return { ...rest, failures: failures ?? ofGrace ?? (whole ?? defaults.live).failures, restarts };
    };
  });
  return (node) => withNames(list(check)(node));
}

function common(
  fields: Fields,
  vars: ReadonlySet<string>,
  fallback: { readonly intervalMs: number; readonly timeoutMs: number },
): () => Common {
  const name = fields.optional('name', text, undefined);
  const address = fields.optional('tcp', addressTemplate(vars), undefined);
  const url = fields.optional('http', urlTemplate(vars), undefined);
  const run = fields.optional('exec', command, undefined);
  const ray = fields.optional('ray_node', rayNode(vars), undefined);
  const gpu = fields.optional('gpu', gpuCheck, undefined);
  const volumes = fields.optional('volumes', volumesCheck, undefined);
  const from = fields.optional('from', choice('host', 'container'), undefined);
  const status = fields.optional('status', oneOrMore(integer(100, 599)), null);
  const ofLive = gpu ? defaults.gpu : volumes ? defaults.volumes : defaults.live;
  const intervalMs = fields.optional(
    'interval',
    duration(),
    (ray ? defaults.rayNode : fallback === defaults.live ? ofLive : fallback).intervalMs,
  );
  const timeoutMs = fields.optional('timeout', duration(), (gpu ? defaults.gpu : fallback).timeoutMs);
  exactlyOne(fields, kinds);
  return () => {
    if (run !== undefined && from !== undefined) fields.fail('from', 'is for tcp and http; exec always runs in the container');
    if (ray !== undefined && from !== undefined) fields.fail('from', 'is for tcp and http; the head is asked from the host');
    if (url === undefined && status !== null) fields.fail('status', 'is for http only');
    if (gpu !== undefined && from !== undefined) fields.fail('from', 'is for tcp and http; the GPUs are looked at in the container');
    if (volumes !== undefined && from !== undefined) fields.fail('from', 'is for tcp and http; volumes are looked at on both sides');
    if (volumes !== undefined) return { name, probe: volumes, intervalMs, timeoutMs };
    if (gpu !== undefined) return { name, probe: gpu, intervalMs, timeoutMs };
    if (ray !== undefined) return { name, probe: ray.probe, intervalMs, timeoutMs, graceMs: ray.graceMs };
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
  if (probe.kind === 'gpu' || probe.kind === 'volumes') return probe.kind;
  if (probe.kind === 'ray-node') return `ray_node ${probe.dashboard}`;
  if (probe.kind === 'exec') return `exec ${commandTitle(probe.run)}`;
  return probe.kind === 'tcp' ? `tcp ${probe.address}` : `http ${probe.url}`;
}
