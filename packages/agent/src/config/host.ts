/** The `host` section: what this host is called, and what holds for all of its workloads. */
import { labelLengthMax, labelsMax } from '@relight/shared/protocol';
import { defaults } from './defaults.ts';
import { duplicates, list, object, record, type Reader } from './fields.ts';
import { child, describe, type Located } from './located.ts';
import { defaultStepName, setupStep } from './mounts.ts';
import { fail } from './problems.ts';
import { boolean, choice, duration, integer, isAddress, looseText, name, plain, sharedHostPath } from './scalars.ts';
import type { GateSpec, HostSpec, SetupStep } from './spec.ts';

export interface HostContext {
  /** Of the configuration file. */
  readonly directory: string;
  readonly hostname: string;
}

export const defaultHost = (hostname: string): HostSpec => ({
  name: hostname,
  labels: {},
  remoteActions: defaults.remoteActions,
  gate: defaults.gate,
  setup: [],
  guard: defaults.guard,
  orphans: defaults.orphans,
  accelerators: defaults.accelerators,
});

export const host = ({ directory, hostname }: HostContext): Reader<HostSpec> =>
  object((fields) => {
    for (const problem of duplicates(stepNames(child(fields.node, 'setup')), 'the step name')) fields.problem(problem);
    const spec: HostSpec = {
      name: fields.optional('name', name, hostname),
      labels: fields.optional('labels', labels, {}),
      remoteActions: fields.optional('remote_actions', boolean, defaults.remoteActions),
      gate: fields.optional('gate', gate(directory), defaults.gate),
      setup: fields.optional('setup', setup, []),
      guard: fields.optional('guard', guard(directory), defaults.guard),
      orphans: fields.optional('orphans', choice('report', 'remove-stopped', 'remove'), defaults.orphans),
      accelerators: fields.optional('accelerators', accelerators, defaults.accelerators),
    };
    return () => spec;
  });

const labels: Reader<HostSpec['labels']> = (node) => {
  const value = record(labelText, (key, at) => void short(key, at))(node);
  const { length } = Object.keys(value);
  return length <= labelsMax ? value : fail(node, `must be at most ${labelsMax} labels, not ${length}`);
};

const labelText: Reader<string> = (node) => short(looseText(node), node);

/** A longer one no collector takes. */
const short = (value: string, at: Located): string =>
  value.length <= labelLengthMax ? value : fail(at, `must be at most ${labelLengthMax} characters, not ${value.length}`);

const gate = (directory: string): Reader<GateSpec> =>
  object((fields) => {
    const { gate: preset } = defaults;
    const spec: GateSpec = {
      quietForMs: fields.optional('quiet_for', duration(0), preset.quietForMs),
      timeoutMs: fields.optional('timeout', duration(), preset.timeoutMs),
      packageManagerIdle: fields.optional('package_manager_idle', boolean, preset.packageManagerIdle),
      pendingReboot: fields.optional('pending_reboot', choice('wait', 'report'), preset.pendingReboot),
      tcp: fields.optional('tcp', list(address), preset.tcp),
      lockFiles: fields.optional('lock_files', list(sharedHostPath(directory)), preset.lockFiles),
    };
    return () =>
      spec.quietForMs < spec.timeoutMs
        ? spec
        : fields.fail('quiet_for', 'must be shorter than timeout, or the gate opens at its deadline only');
  });

const accelerators: Reader<HostSpec['accelerators']> = object((fields) => {
  const gpus = fields.nullable('gpus', integer(0), defaults.accelerators.gpus);
  return () => ({ gpus });
});

const address: Reader<string> = (node) => {
  const value = plain(node);
  return isAddress(value) ? value : fail(node, `must be HOST:PORT, such as 10.0.0.1:6379 or [fd00::1]:6379, not ${describe(node)}`);
};

const guard = (directory: string): Reader<HostSpec['guard']> =>
  object((fields) => {
    const file = fields.optional('file', sharedHostPath(directory), defaults.guard.file);
    const maxAgeMs = fields.optional('max_age', duration(), defaults.guard.maxAgeMs);
    return () => ({ file, maxAgeMs });
  });

const items = (node: Located | undefined): readonly Located[] => (node?.kind === 'list' ? node.items : []);

const setup: Reader<readonly SetupStep[]> = (node) => {
  const index = new Map(items(node).map((item, i) => [item, i]));
  return list((item) => setupStep(index.get(item) ?? 0)(item))(node);
};

/** With the default names, which a given one may repeat. */
const stepNames = (node: Located | undefined): readonly (Located | undefined)[] =>
  items(node).map((item, index) => {
    if (child(item, 'run') === undefined) return undefined;
    const value = defaultStepName(index);
    return child(item, 'name') ?? Object.assign({}, item, { kind: 'scalar' as const, value, source: value });
  });
