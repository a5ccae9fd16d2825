/** `mounts` and `setup` of a workload. */
import { command } from './commands.ts';
import { defaults } from './defaults.ts';
import { list, object, type Reader } from './fields.ts';
import { fail } from './problems.ts';
import { boolean, choice, containerPath, duration, integer, looseTemplate, name, text } from './scalars.ts';
import type { Located } from './located.ts';
import { suggest } from '@relight/shared/suggest';
import { runDirectoryTarget } from '../stages/runs.ts';
import type { MountSpec, SetupItem, SetupStep } from './spec.ts';

export function mount(vars: ReadonlySet<string>): Reader<MountSpec> {
  return object<MountSpec>((fields) => {
    const shared = {
      name: fields.required('name', name),
      target: fields.required('target', mountTarget),
      timeoutMs: fields.optional('timeout', duration(), defaults.mountTimeoutMs),
      check: fields.optional('check', mountCheck, defaults.mountCheck),
    };
    const type = fields.required('type', choice('gcsfuse', 'command'));
    if (type === 'command') {
      const run = fields.required('run', command);
      return () => ({ ...shared, type, run });
    }
    const gcsfuse = {
      bucket: fields.required('bucket', looseTemplate(vars)),
      onlyDir: fields.optional('only_dir', looseTemplate(vars), null),
      implicitDirs: fields.optional('implicit_dirs', boolean, false),
      options: fields.optional('options', list(text), []),
    };
    return () => ({ ...shared, type: 'gcsfuse', ...gcsfuse });
  });
}

const mountTarget: Reader<string> = (node) => {
  const target = containerPath(node);
  const reserved = ['/', '/proc', '/sys', '/dev', '/run', runDirectoryTarget].find(
    (path) => target === path || (path === runDirectoryTarget && target.startsWith(`${path}/`)),
  );
  return reserved === undefined ? target : fail(node, `"${target}" cannot be a mount target; Relight or the system needs ${reserved}`);
};

const mountCheck = object((fields) => {
  const intervalMs = fields.optional('interval', duration(), defaults.mountCheck.intervalMs);
  const timeoutMs = fields.optional('timeout', duration(), defaults.mountCheck.timeoutMs);
  const failures = fields.optional('failures', integer(1), defaults.mountCheck.failures);
  return () => ({ intervalMs, timeoutMs, failures });
});

/** `index` counts from 0; `mounts` are the names that `{mount: NAME}` may use. */
export function setupItem(index: number, mounts: readonly string[]): Reader<SetupItem> {
  return (node) => (isMountItem(node) ? mountItem(mounts)(node) : setupStep(index)(node));
}

const isMountItem = (node: Located): boolean => node.kind === 'map' && node.entries.some(({ key }) => key === 'mount');

const mountItem = (mounts: readonly string[]): Reader<SetupItem> =>
  object((fields) => {
    const used = fields.required('mount', (node) => {
      const value = text(node);
      if (mounts.includes(value)) return value;
      const near = suggest(value, mounts);
      const hint = near === undefined ? `declared: ${mounts.length === 0 ? 'none' : mounts.join(', ')}` : `did you mean "${near}"?`;
      return fail(node, `"${value}" names no mount of this workload; ${hint}`);
    });
    return () => ({ kind: 'mount', mount: used });
  });

/** `index` counts from 0. */
export const defaultStepName = (index: number): string => `step ${index + 1}`;

/** `index` counts from 0. */
export const setupStep = (index: number): Reader<SetupStep> =>
  object((fields) => {
    const step = {
      name: fields.optional('name', stepName, defaultStepName(index)),
      run: fields.required('run', command),
      optional: fields.optional('optional', boolean, false),
      timeoutMs: fields.optional('timeout', duration(), defaults.setupTimeoutMs),
      retry: fields.optional('retry', retry, defaults.setupRetry),
      verify: fields.optional('verify', command, null),
    };
    return () => ({ kind: 'step', ...step });
  });

const stepName: Reader<string> = (node) => {
  const value = text(node);
  return /^[^\p{Cc}]{1,63}$/u.test(value) ? value : fail(node, 'must be one line of at most 63 characters');
};

const retry = object((fields) => {
  const attempts = fields.optional('attempts', integer(1), defaults.setupRetry.attempts);
  const delayMs = fields.optional('delay', duration(0), defaults.setupRetry.delayMs);
  return () => ({ attempts, delayMs });
});
