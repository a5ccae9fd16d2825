import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { compareFingerprints, compareWorkload, specFingerprint, type Change } from './impact.ts';
import { parseConfig } from './load.ts';
import type { WorkloadSpec } from './spec.ts';

const base = {
  name: 'w',
  container: { image: 'busybox', environment: { A: '1', TOKEN: 'hf_secret' } },
  mounts: [{ name: 'm', type: 'command', run: 'x', target: '/m' }],
  setup: [
    { name: 'one', run: 'one' },
    { name: 'two', run: 'two' },
  ],
  process: { run: 'p' },
};
function spec(fields: object = {}): WorkloadSpec {
  const workload = parseConfig(stringify({ version: 1, workloads: [{ ...base, ...fields }] }), '/a.yaml', { hostname: 'h' }).workloads[0];
  if (workload === undefined) throw new Error('no workload');
  return workload;
}
const [one, two] = base.setup;

const changes: readonly (readonly [string, object, readonly Change[]])[] = [
  ['nothing', {}, []],
  ['the order of an environment', { container: { image: 'busybox', environment: { TOKEN: 'hf_secret', A: '1' } } }, []],
  ['the image', { container: { ...base.container, image: 'busybox:2' } }, [{ field: 'container.image', impact: 'container' }]],
  [
    'a limit that was not there',
    { container: { ...base.container, mem_limit: '1gb' } },
    [{ field: 'container.mem_limit', impact: 'container' }],
  ],
  ['the pull policy', { container: { ...base.container, pull_policy: 'always' } }, [{ field: 'container.pull_policy', impact: 'none' }]],
  [
    'checks',
    { ready: [{ tcp: 'a:1' }], live: [{ exec: 'x' }] },
    [
      { field: 'ready', impact: 'none' },
      { field: 'live', impact: 'none' },
    ],
  ],
  [
    'the process',
    { process: { run: 'q', stop_timeout: '1s' } },
    [
      { field: 'process.run', impact: 'process' },
      { field: 'process.stop_timeout', impact: 'none' },
    ],
  ],
  ['a mount’s check', { mounts: [{ ...base.mounts[0], check: { failures: 9 } }] }, [{ field: 'mounts[m].check', impact: 'none' }]],
  ['a mount’s target', { mounts: [{ ...base.mounts[0], target: '/n' }] }, [{ field: 'mounts[m].target', impact: 'container' }]],
  [
    'one more mount',
    { mounts: [...base.mounts, { name: 'n', type: 'command', run: 'x', target: '/n' }] },
    [{ field: 'mounts[n]', impact: 'container' }],
  ],
  ['no mount', { mounts: [] }, [{ field: 'mounts[m]', impact: 'container' }]],
  [
    'a step',
    { setup: [one, { ...two, run: 'other', timeout: '1s' }] },
    [
      { field: 'setup[two].run', impact: 'container' },
      { field: 'setup[two].timeout', impact: 'none' },
    ],
  ],
  ['the order of steps', { setup: [two, one] }, [{ field: 'setup.order', impact: 'container' }]],
];

describe('what a change costs', () => {
  it.each(changes)('%s', (_, fields, expected) => {
    expect(compareWorkload(spec(), spec(fields))).toEqual(expected);
  });

  it.each(changes)('%s: told by fingerprints alike', (_, fields, expected) => {
    expect(compareFingerprints(specFingerprint(spec()), specFingerprint(spec(fields)))).toEqual(expected);
  });

  it('does not take a field that a later version brought for a change', () => {
    const before: Record<string, string> = { ...specFingerprint(spec()) };
    delete before['container.ulimits'];
    expect(compareFingerprints(before, specFingerprint(spec()))).toEqual([]);
  });

  it('does not take the default of a field for a change that the stored specification could not have', () => {
    const stored = JSON.parse(JSON.stringify(spec())) as { container: Record<string, unknown> };
    delete stored.container['ulimits'];
    expect(compareWorkload(stored as unknown as WorkloadSpec, spec())).toEqual([]);
  });

  it('sees no change in a specification that went through JSON', () => {
    expect(compareWorkload(JSON.parse(JSON.stringify(spec())) as WorkloadSpec, spec())).toEqual([]);
  });

  it('sees a process that is new', () => {
    const { process: _, ...without } = base;
    const before = parseConfig(stringify({ version: 1, workloads: [without] }), '/a.yaml', { hostname: 'h' }).workloads[0];
    expect(compareFingerprints(specFingerprint(before ?? spec()), specFingerprint(spec()))).toContainEqual({
      field: 'process.run',
      impact: 'process',
    });
  });

  it('keeps secrets out of the fingerprint', () => {
    const fingerprint = specFingerprint(spec());
    expect(Object.values(fingerprint).every((digest) => /^[0-9a-f]{8}$/.test(digest))).toBe(true);
    expect(JSON.stringify(fingerprint)).not.toContain('hf_secret');
  });
});
