import fc from 'fast-check';
import { expect, it } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { parseConfig } from './load.ts';
import { imageToWaitFor, type Standing } from './image-wait.ts';
import type { ContainerSpec, WorkloadSpec } from './spec.ts';

const runs: Standing = { hasRun: true, given: null };
const has = workloadFixture();
const wanting = (container: Partial<ContainerSpec>, more: Partial<WorkloadSpec> = {}): WorkloadSpec =>
  workloadFixture(more, { image: 'image:2', ...container });

it.each<readonly [string, WorkloadSpec, WorkloadSpec, Standing, string | undefined]>([
  ['another image', has, wanting({}), runs, 'image:2'],
  ['another image, never pulled', has, wanting({ pullPolicy: 'never' }), runs, 'image:2'],
  ['the same image in another container', has, workloadFixture({}, { privileged: true }), runs, 'image:1'],
  ['another step with it', has, wanting({}, { setup: [] }), runs, 'image:2'],
  ['nothing', has, has, runs, undefined],
  ['what restarts nothing', has, workloadFixture({ readyWindowMs: 1 }), runs, undefined],
  ['another process', has, workloadFixture({ process: null }), runs, undefined],
  ['a workload that never had a container', has, wanting({}), { ...runs, hasRun: false }, undefined],
  ['a workload that is held', has, wanting({}), { ...runs, given: 'held' }, undefined],
  ['a workload whose time is over', has, wanting({}), { ...runs, given: 'finished' }, undefined],
  ['what was adopted', workloadFixture({}, { adopt: 'old', adoptedId: 'x' }), wanting({}), runs, undefined],
  ['what is to be adopted', has, wanting({ adopt: 'old' }), runs, undefined],
])('%s', (_, before, after, standing, image) => {
  expect(imageToWaitFor(before, after, standing)).toBe(image);
});

it('goes on with nothing that another version has stored without all of its fields', () => {
  const { spare, ...old } = has;
  const { ulimits, ...container } = has.container;
  const mounts = has.mounts.map(({ check, ...mount }) => mount as WorkloadSpec['mounts'][number]);
  for (const partial of [old as WorkloadSpec, { ...has, container: container as ContainerSpec }, { ...has, mounts }])
    expect(imageToWaitFor(partial, wanting({}), runs)).toBeUndefined();
});

it('goes on with everything that this version has stored', () => {
  const yaml = (image: string): string => `
version: 1
workloads:
  - name: w
    spare: prepared
    depends_on: [{tcp: 'head:6379'}]
    container: {image: '${image}', gpus: all, devices: [/dev/fuse], volumes: ['/tmp:/tmp'], env_file: [/e], ulimits: {core: 0}, logging: {driver: json-file}}
    mounts: [{name: b, type: gcsfuse, bucket: b, target: /b}, {name: c, type: command, run: x, target: /c}]
    setup: [{mount: b}, {run: one, verify: two, retry: {attempts: 2, delay: 1s}}, {run: three}]
    process: {run: p, before: q, max_runtime: 1h}
    ready: [{tcp: 'a:1'}]
    live: [{exec: x}]
`;
  const specOf = (image: string): WorkloadSpec => {
    const spec = parseConfig(yaml(image), '/a.yaml', { hostname: 'h' }).workloads[0];
    if (spec === undefined) throw new Error('no workload');
    return spec;
  };
  const stored = JSON.parse(JSON.stringify(specOf('a:1'))) as WorkloadSpec;
  expect(imageToWaitFor(stored, specOf('a:2'), runs)).toBe('a:2');
  expect(imageToWaitFor(stored, specOf('a:1'), runs)).toBeUndefined();
});

it('waits for no image but the wanted one, and never for what makes no new container', () => {
  const image = fc.constantFrom('image:1', 'image:2', 'image:3');
  const spec = fc
    .record({ image, privileged: fc.boolean(), readyWindowMs: fc.constantFrom(1, 2), process: fc.boolean() })
    .map(({ image, privileged, readyWindowMs, process }) =>
      workloadFixture({ readyWindowMs, ...(process ? {} : { process: null }) }, { image, privileged }),
    );
  const standing = fc.record({
    hasRun: fc.boolean(),
    given: fc.constantFrom('held' as const, 'finished' as const, null),
  });
  fc.assert(
    fc.property(spec, spec, standing, (before, after, how) => {
      const other = before.container.image !== after.container.image || before.container.privileged !== after.container.privileged;
      const toLose = how.hasRun && how.given === null;
      expect(imageToWaitFor(before, after, how)).toBe(other && toLose ? after.container.image : undefined);
    }),
  );
});
