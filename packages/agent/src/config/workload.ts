/** One entry of `workloads`. */
import { parsePathPattern } from '../logs/origins/path-pattern.ts';
import { Redaction } from '../logs/redaction/redaction.ts';
import { PatternError } from '../logs/redaction/syntax.ts';
import { withAutomaticChecks } from './automatic-checks.ts';
import { liveChecks, readyChecks, dependency } from './checks.ts';
import { command } from './commands.ts';
import { container } from './container/container.ts';
import { defaults } from './defaults.ts';
import { duplicates, list, object, type Fields, type Reader } from './fields.ts';
import { child, type Located } from './located.ts';
import { defaultStepName, mount, setupItem } from './mounts.ts';
import { fail, type Problem } from './problems.ts';
import { restart } from './restart.ts';
import { choice, duration, name, perWindow, plain, text, trimSlashes } from './scalars.ts';
import { whyNoSpare } from './spare.ts';
import type { LogSpec, ProcessSpec, SetupItem, WorkloadSpec } from './spec.ts';

export interface WorkloadContext {
  readonly directory: string;
  readonly vars: ReadonlySet<string>;
}

export function workload({ directory, vars }: WorkloadContext): Reader<WorkloadSpec> {
  return object((fields) => {
    reportDuplicates(fields);
    const workloadName = fields.required('name', name);
    const hasProcess = fields.has('process');
    const spec: WorkloadSpec = {
      name: workloadName,
      dependsOn: fields.optional('depends_on', list(dependency(vars)), []),
      startDeadlineMs: fields.optional('start_deadline', duration(), defaults.startDeadlineMs),
      shell: fields.optional('shell', shell, null),
      container: fields.required('container', container({ directory, vars, workload: workloadName })),
      mounts: fields.optional('mounts', list(mount(vars)), []),
      setup: fields.optional('setup', setup(mountNames(fields.node)), []),
      process: fields.optional('process', processSpec, null),
      readyWindowMs: fields.optional('ready_window', duration(), defaults.readyWindowMs),
      ready: fields.optional('ready', readyChecks(vars), []),
      live: fields.optional('live', liveChecks(vars, hasProcess), []),
      restart: fields.optional('restart', restart, defaults.restart),
      logs: fields.optional('logs', logs, defaults.logs),
      spare: fields.optional('spare', choice('prepared'), null),
    };
    return () => {
      const whyNot = spec.spare === null ? null : whyNoSpare(spec);
      return whyNot === null ? withAutomaticChecks(spec) : fields.fail('spare', whyNot);
    };
  });
}

const items = (node: Located | undefined): readonly Located[] => (node?.kind === 'list' ? node.items : []);
const children = (node: Located, listKey: string, key: string): readonly (Located | undefined)[] =>
  items(child(node, listKey)).map((item) => child(item, key));

function reportDuplicates(fields: Fields): void {
  // "/data" and "/data/" are one place.
  const targets = children(fields.node, 'mounts', 'target').map((node) =>
    node?.kind === 'scalar' ? { ...node, source: trimSlashes(node.source) } : node,
  );
  const problems = [
    ...duplicates(children(fields.node, 'mounts', 'name'), 'the mount name'),
    ...duplicates(targets, 'the mount target'),
    ...duplicates(stepNames(fields.node), 'the step name'),
    ...duplicates(children(fields.node, 'setup', 'mount'), 'the mount'),
  ];
  for (const problem of problems) fields.problem(problem);
}

/** With the default names, which a given one may repeat. */
const stepNames = (node: Located): readonly (Located | undefined)[] =>
  items(child(node, 'setup')).map((item, index) => {
    if (child(item, 'run') === undefined) return undefined;
    const value = defaultStepName(index);
    return child(item, 'name') ?? Object.assign({}, item, { kind: 'scalar' as const, value, source: value });
  });

const mountNames = (node: Located): readonly string[] =>
  children(node, 'mounts', 'name').flatMap((value) => (value?.kind === 'scalar' ? [value.source] : []));

const setup =
  (mounts: readonly string[]): Reader<readonly SetupItem[]> =>
  (node) => {
    const index = new Map(items(node).map((item, i) => [item, i]));
    return list((item) => setupItem(index.get(item) ?? 0, mounts)(item))(node);
  };

const shell: Reader<readonly string[]> = (node) => {
  const argv = list(text)(node);
  return argv.length > 0 ? argv : fail(node, 'must name a program, such as [bash, -c]');
};

const processSpec: Reader<ProcessSpec> = object((fields) => {
  const spec: ProcessSpec = {
    run: fields.required('run', command),
    before: fields.optional('before', command, null),
    stopTimeoutMs: fields.optional('stop_timeout', duration(0), defaults.stopTimeoutMs),
    maxRuntimeMs: fields.nullable('max_runtime', duration(), null),
  };
  return () => spec;
});

const logs: Reader<LogSpec> = object((fields) => {
  const rate = fields.optional('rate_limit', perWindow, undefined);
  const files = fields.optional('files', list(filePattern), defaults.logs.files);
  const redact = fields.optional('redact', list(redactPattern), defaults.logs.redact);
  return () => ({
    files,
    redact,
    rateLimit: rate === undefined ? defaults.logs.rateLimit : { lines: rate.count, windowMs: rate.windowMs },
  });
});

const redactPattern: Reader<string> = (node) => {
  const value = plain(node);
  try {
    void new Redaction([value]);
    return value;
  } catch (error) {
    if (error instanceof PatternError) return fail(node, `"${value}": ${error.message}`);
    throw error;
  }
};

const filePattern: Reader<string> = (node) => {
  const value = plain(node);
  const pattern = parsePathPattern(value);
  return typeof pattern === 'string' ? fail(node, pattern) : value;
};

/** Names that must be unique over all workloads. */
export function workloadDuplicates(node: Located | undefined): readonly Problem[] {
  const containers = items(node).map((item) => {
    const section = child(item, 'container');
    return (section === undefined ? undefined : child(section, 'name')) ?? child(item, 'name');
  });
  return [
    ...duplicates(
      items(node).map((item) => child(item, 'name')),
      'the workload name',
    ),
    ...duplicates(containers, 'the container name'),
  ];
}
