import { systemClock } from '@relight/shared/clock';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FakeEngine } from '../../../../test/support/fake-engine.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { AgentSpec, ContainerSpec } from '../config/spec.ts';
import type { SpareOffer } from '../supervisor/spare-state.ts';
import { createSpare, spareInputs, takeSpare } from './spare.ts';
import type { StageContext } from './stage.ts';

/** One spare on a scripted engine; `answers`: exit codes by a part of the command. */
async function standing(answers: Readonly<Record<string, number>> = {}, container: Partial<ContainerSpec> = {}) {
  const stateDir = mkdtempSync(join(tmpdir(), 'spare-'));
  const engine = new FakeEngine({
    clock: systemClock,
    images: ['image:1'],
    exec: ({ argv }) => ({ exitCode: Object.entries(answers).find(([part]) => argv.join(' ').includes(part))?.[1] ?? 0 }),
  });
  const context: StageContext = {
    engine,
    clock: systemClock,
    spec: workloadFixture({ mounts: [] }, container),
    agent: { stateDir, vars: [] } as unknown as AgentSpec,
    ownerId: 'owner',
    generation: 2,
    containerId: null,
    signal: new AbortController().signal,
    vars: { HEAD: '10.0.0.1' },
    setVars: () => {},
    runs: undefined as unknown as StageContext['runs'],
    progress: () => {},
    emit: () => {},
  };
  const { containerId } = await createSpare(2, context);
  await engine.start(containerId);
  const facts = await engine.inspect(containerId);
  const inputs = await spareInputs(context);
  const bare = { mounts: {}, setup: ['keys', 'caches'], nextRun: 3 };
  const offer: SpareOffer = { ...bare, containerId, generation: 2, pid: facts?.pid ?? 0, startedAt: facts?.startedAt ?? 0, inputs };
  const take = (more: Partial<StageContext> = {}) => takeSpare({ kind: 'take-spare', offer }, { ...context, ...more });
  return { engine, context, offer, take, nameOf: async () => (await engine.inspect(containerId))?.name };
}

describe('taking a spare', () => {
  test('gives it the name, with all of it asked before', async () => {
    const { engine, offer, take, nameOf } = await standing();
    expect((await engine.inspect(offer.containerId))?.labels).toMatchObject({ 'relight.spare': 'true', 'relight.generation': '2' });
    expect(await take()).toEqual({ kind: 'take-spare', pid: offer.pid });
    expect(await nameOf()).toBe('worker');
    expect(engine.calls.filter((call) => call.includes('test keys') || call.includes('test caches'))).toHaveLength(2);
    // Done again after a crash, it leads to the same end.
    expect(await take()).toEqual({ kind: 'take-spare', pid: offer.pid });
  });

  test.each<[string, Readonly<Record<string, number>>, Partial<ContainerSpec>, string]>([
    ['a step that no longer holds', { 'test keys': 1 }, {}, 'setup "keys": verify says exit code 1'],
    ['GPUs that it has lost', { nvidiactl: 2 }, { gpus: 'all' }, 'it has lost its GPUs'],
  ])('is refused for %s, and keeps the name of a spare', async (_, answers, container, message) => {
    const { engine, offer, take, nameOf } = await standing(answers, container);
    await expect(take()).rejects.toMatchObject({ code: 'spare-unusable', message: `the prepared spare cannot take over: ${message}` });
    expect(await nameOf()).toBe('worker-relight-spare');
    // Renamed by a call whose answer was lost.
    await engine.rename(offer.containerId, 'worker');
    await expect(take()).rejects.toMatchObject({ code: 'spare-unusable' });
    expect(await nameOf()).toBe('worker-relight-spare');
  });

  test('is refused when it has been started again, and when it is gone', async () => {
    const { engine, offer, take } = await standing();
    await engine.kill(offer.containerId, 'SIGKILL');
    await expect(take()).rejects.toMatchObject({ code: 'spare-unusable', message: expect.stringContaining('it is exited') as string });
    await engine.remove(offer.containerId);
    await expect(take()).rejects.toMatchObject({ code: 'spare-unusable', message: expect.stringContaining('it is gone') as string });
  });

  test('only a variable that a mount or step names makes it outdated', async () => {
    const { context, take } = await standing();
    expect(await take({ vars: { HEAD: '10.0.0.2' } })).toMatchObject({ kind: 'take-spare' });
    const spec = workloadFixture({ mounts: [], setup: context.spec.setup.map((step) => ({ ...step, run: { text: 'echo $HEAD' } })) });
    const [before, after] = await Promise.all([
      spareInputs({ ...context, spec }),
      spareInputs({ ...context, spec, vars: { HEAD: '10.0.0.2' } }),
    ]);
    expect(before.vars).not.toBe(after.vars);
  });

  test('an env file that has changed makes it outdated', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'env-')), 'w.env');
    writeFileSync(file, 'TOKEN=one\n');
    const { take } = await standing({}, { envFile: [file] });
    writeFileSync(file, 'TOKEN=two\n');
    await expect(take()).rejects.toMatchObject({ message: 'the prepared spare cannot take over: an env file has changed' });
  });
});
