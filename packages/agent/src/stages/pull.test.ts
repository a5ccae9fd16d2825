import { RelightError, type ErrorCode } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it, vi } from 'vitest';
import { FakeEngine } from '../../../../test/support/fake-engine.ts';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { ContainerSpec } from '../config/spec.ts';
import { pull } from './pull.ts';

type Policy = ContainerSpec['pullPolicy'];
const image = 'registry.example/ray:1';

function start(engine: FakeEngine, clock: ManualClock, pullPolicy: Policy): ReturnType<typeof pull> {
  const spec = workloadFixture({}, { image, pullPolicy });
  return pull({ engine, clock, spec, signal: new AbortController().signal, progress: () => {} });
}

function pulling(pullPolicy: Policy, registry: 'ok' | ErrorCode, local: boolean): ReturnType<typeof pull> {
  const clock = new ManualClock();
  return start(new FakeEngine({ clock, images: local ? [image] : [], registry: { [image]: registry } }), clock, pullPolicy);
}

it('with pull_policy: always, a registry that cannot be reached is no reason to stand still', async () => {
  expect(await pulling('always', 'ok', true)).toEqual({ kind: 'pull' });
  expect(await pulling('always', 'image-pull-failed', true)).toEqual({ kind: 'pull', fallback: expect.any(String) as string });
});

it.each([
  ['there is no image here', 'always', 'image-pull-failed', false],
  ['the image is gone from the registry', 'always', 'image-not-found', true],
  ['the registry refuses us', 'always', 'image-unauthorized', true],
  ['nobody has brought it meanwhile', 'missing', 'image-pull-failed', false],
] as const)('fails when %s', async (_, policy, code, local) => {
  await expect(pulling(policy, code, local)).rejects.toMatchObject({ code });
});

it('asks no registry for an image that is on this host, unless the policy says always', async () => {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock, images: [image], registry: { [image]: 'ok' } });
  const asked = vi.spyOn(engine, 'pull');
  expect(await start(engine, clock, 'missing')).toEqual({ kind: 'pull' });
  expect(asked).not.toHaveBeenCalled();
  expect(await start(engine, clock, 'always')).toEqual({ kind: 'pull' });
  expect(asked).toHaveBeenCalledOnce();
});

/** A registry that sends nothing: whether the pull was begun, and cut off. */
function hanging(engine: FakeEngine): { begun: boolean; cutOff: boolean; finish: () => void } {
  const seen = { begun: false, cutOff: false, finish: (): void => {} };
  vi.spyOn(engine, 'pull').mockImplementation((_image, _progress, options) => {
    seen.begun = true;
    return new Promise((resolve, reject) => {
      seen.finish = resolve;
      options?.signal?.addEventListener('abort', () => {
        seen.cutOff = true;
        reject(new RelightError('cancelled', 'cut off'));
      });
    });
  });
  return seen;
}

it('an image that somebody brings while it is pulled ends the pull', async () => {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock });
  const seen = hanging(engine);
  const pulled = start(engine, clock, 'missing');
  await vi.waitFor(() => expect(seen.begun).toBe(true));
  for (let look = 1; look <= 3; look += 1) {
    clock.advance(1_000);
    // It has been asked for, in vain, and the next look is due.
    await vi.waitFor(() => expect(clock.pendingTimers).toBe(1));
  }
  expect(seen.cutOff).toBe(false);
  engine.images.add(image);
  clock.advance(1_000);
  await vi.waitFor(() => expect(seen.cutOff).toBe(true));
  expect(await pulled).toEqual({ kind: 'pull' });
  expect(clock.pendingTimers).toBe(0);
});

it('is not looked for meanwhile where the policy says always: what is here is not what is wanted', async () => {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock, images: [image] });
  const seen = hanging(engine);
  const pulled = start(engine, clock, 'always');
  await vi.waitFor(() => expect(seen.begun).toBe(true));
  expect(clock.pendingTimers).toBe(0);
  seen.finish();
  expect(await pulled).toEqual({ kind: 'pull' });
  expect(seen.cutOff).toBe(false);
});
