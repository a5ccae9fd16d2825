import type { ErrorCode } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import { FakeEngine } from '../../../../test/support/fake-engine.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { ContainerSpec } from '../config/spec.ts';
import { pull } from './pull.ts';
import type { StageContext } from './stage.ts';

function pulling(pullPolicy: ContainerSpec['pullPolicy'], registry: 'ok' | ErrorCode, local: boolean) {
  const image = 'registry.example/ray:1';
  const engine = new FakeEngine({ clock: new ManualClock(), images: local ? [image] : [], registry: { [image]: registry } });
  const spec = workloadFixture({}, { image, pullPolicy });
  return pull({ engine, spec, signal: new AbortController().signal, progress: () => {} } as unknown as StageContext);
}

it('with pull_policy: always, a registry that cannot be reached is no reason to stand still', async () => {
  expect(await pulling('always', 'ok', true)).toEqual({ kind: 'pull' });
  expect(await pulling('always', 'image-pull-failed', true)).toEqual({ kind: 'pull', fallback: expect.any(String) as string });
});

it.each([
  ['there is no image here', 'always', 'image-pull-failed', false],
  ['the image is gone from the registry', 'always', 'image-not-found', true],
  ['the registry refuses us', 'always', 'image-unauthorized', true],
  ['the image of this host was not wanted', 'missing', 'image-pull-failed', true],
] as const)('fails when %s', async (_, policy, code, local) => {
  await expect(pulling(policy, code, local)).rejects.toMatchObject({ code });
});
