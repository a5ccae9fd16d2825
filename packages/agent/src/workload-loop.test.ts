/** What a life of the agent leaves to the next one. */
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import { FakeEngine } from '../../../test/support/fake-engine.ts';
import { workloadFixture } from '../../../test/support/specs.ts';
import { parseConfig } from './config/load.ts';
import { SecretValues } from './config/secret-values.ts';
import type { VarSpec, WorkloadSpec } from './config/spec.ts';
import { temporaryDirectory } from './control/recorded-io.ts';
import type { LoopOptions } from './loop-options.ts';
import { WorkloadLoop } from './workload-loop.ts';
import { WorkloadStore } from './workload-store.ts';

const bare = parseConfig('version: 1\nworkloads: []\n', '/etc/relight/agent.yaml', { hostname: 'h' });

function life(stateDir: string, spec: WorkloadSpec, vars: readonly VarSpec[]): WorkloadLoop {
  const clock = new ManualClock();
  const nothing = (): void => {};
  return new WorkloadLoop({
    agent: { ...bare, stateDir, vars },
    spec,
    ownerId: 'owner',
    engine: new FakeEngine({ clock }),
    runs: {},
    prober: () => ({ set: nothing, dispose: nothing }),
    secrets: new SecretValues([]),
    gate: { glance: nothing, confirm: () => Promise.resolve() },
    rebooted: false,
    store: new WorkloadStore(stateDir),
    journal: { record: nothing, flush: nothing, specChanged: nothing },
    clock,
    now: () => clock.monotonic(),
    random: () => 0.5,
    emit: nothing,
    history: { position: 0, since: () => null },
    observe: nothing,
    onChange: nothing,
  } as unknown as LoopOptions);
}

it('what it was worked with is remembered with its variables, also by a life that has not looked at anything yet', () => {
  const stateDir = temporaryDirectory();
  const [before, after] = [workloadFixture({}, { image: 'image:1' }), workloadFixture({}, { image: 'image:2' })];
  const former = { spec: before, vars: [{ name: 'HEAD', value: 'a' }] };
  const first = life(stateDir, before, former.vars);
  first.observed({ containers: [], silent: [], afterOutage: false }, false, null);
  first.stop();
  for (const reason of ['once', 'and once more']) {
    const next = life(stateDir, after, []);
    expect(next.saved).toMatchObject(former);
    next.send({ type: 'pause', reason, until: null });
    next.stop();
  }
  const compared = life(stateDir, after, []);
  compared.observed({ containers: [], silent: [], afterOutage: false }, false, null);
  compared.stop();
  expect(life(stateDir, after, []).saved).toMatchObject({ spec: after, vars: [] });
});
