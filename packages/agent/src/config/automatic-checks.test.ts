import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { withAutomaticChecks } from './automatic-checks.ts';
import type { ContainerSpec, LiveCheckSpec } from './spec.ts';

const bind = { type: 'bind' as const, source: '/mnt/hostfuse', target: '/data2', readOnly: false };
const named = { type: 'volume' as const, source: 'cache', target: '/cache', readOnly: false };
const filled = { kind: 'volumes', binds: [{ source: '/mnt/hostfuse', target: '/data2' }], except: ['/mnt'] };
const live = (container: Partial<ContainerSpec>, checks: readonly LiveCheckSpec[] = []): readonly LiveCheckSpec[] =>
  withAutomaticChecks(workloadFixture({ live: checks }, container)).live;

test('a container with a directory of the host has its volumes looked at; one without has no such check', () => {
  expect(live({ volumes: [named, bind] })).toEqual([
    { name: 'volumes', probe: filled, intervalMs: 10_000, timeoutMs: 5_000, failures: 2, restarts: 'container' },
  ]);
  expect(live({ volumes: [named] })).toEqual([]);
});

test('a check of somebody’s own stands in its place, and learns what the container has', () => {
  const own = { ...live({ volumes: [bind] })[0], name: 'own', restarts: 'none' } as LiveCheckSpec;
  const empty = { ...own, probe: { kind: 'volumes', binds: [], except: [] } } as const;
  expect(live({ volumes: [bind] }, [empty])).toEqual([own]);
  const spec = withAutomaticChecks(workloadFixture({ ready: [empty], live: [empty] }, { volumes: [bind] }));
  expect(spec.ready[0]?.probe).toEqual(filled);
});

test('what was found out later about a container counts as well, and doing it twice changes nothing', () => {
  const spec = withAutomaticChecks(workloadFixture({}, { gpus: 'all', volumes: [bind] }));
  expect(withAutomaticChecks(spec)).toEqual(spec);
  const other = withAutomaticChecks({ ...spec, container: { ...spec.container, volumes: [{ ...bind, source: '/mnt/other' }] } });
  expect(other.live.at(-1)?.probe).toMatchObject({ binds: [{ source: '/mnt/other' }] });
});

test('a name that is taken is not taken twice', () => {
  const taken = { ...live({ volumes: [bind] })[0], name: 'volumes', probe: { kind: 'exec', run: { text: 'true' } } } as LiveCheckSpec;
  expect(live({ volumes: [bind] }, [taken]).map(({ name }) => name)).toEqual(['volumes', 'volumes (automatic)']);
});
