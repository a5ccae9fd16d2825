import type { ErrorCode } from '@relight/shared/errors';
import { PassThrough } from 'node:stream';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it, vi } from 'vitest';
import { FakeEngine } from '../../../test/support/fake-engine.ts';
import { restartPolicy, workloadFixture } from '../../../test/support/specs.ts';
import type { ContainerSpec } from './config/spec.ts';
import type { DockerClient } from './engine/docker-client.ts';
import { pullImage } from './engine/pull.ts';
import { ImageLane } from './image-lane.ts';

const image = 'registry.example/ray:2';

function world(outcome: 'ok' | ErrorCode, pullPolicy: ContainerSpec['pullPolicy'] = 'missing') {
  const clock = new ManualClock();
  const registry: Record<string, 'ok' | ErrorCode> = { [image]: outcome };
  const engine = new FakeEngine({ clock, registry });
  const told: string[] = [];
  const seen = { here: 0, halted: null as string | null };
  const restart = { process: restartPolicy, container: restartPolicy };
  const lane = new ImageLane({
    engine,
    clock,
    now: () => clock.monotonic(),
    random: () => 0.5,
    wanted: workloadFixture({ restart }, { image, pullPolicy }),
    halted: () => seen.halted,
    text: (text) => text,
    onHere: () => {
      seen.here += 1;
    },
    onChange: () => {},
    tell: (_, message) => told.push(message),
  });
  const calls = (kind: string): number => engine.calls.filter((call) => call === `${kind} ${image}`).length;
  /** Until everything that was begun has had its answer: nothing here waits for more than promises. */
  const answered = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
  };
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await answered();
  };
  const woken = async (): Promise<void> => {
    lane.wake();
    await answered();
  };
  return { clock, engine, registry, lane, told, seen, calls, answered, pass, woken };
}

it('an image that is here is not asked of any registry', async () => {
  const { engine, seen, calls, woken } = world('ok');
  engine.images.add(image);
  await woken();
  expect([seen.here, calls('pull')]).toEqual([1, 0]);
});

it('an image that can be pulled is pulled, once', async () => {
  const { seen, calls, woken, lane, told } = world('ok');
  await woken();
  expect([seen.here, calls('pull'), lane.isMissing, told]).toEqual([1, 1, false, []]);
});

it('failures that may pass are spaced as attempts to make a container are, and told once', async () => {
  const { calls, woken, pass, lane, told, registry, seen } = world('image-pull-failed');
  await woken();
  expect(calls('pull')).toBe(1);
  expect(lane.isMissing).toBe(true);
  for (const [waitMs, pulls] of [
    [1_000, 2],
    [2_000, 3],
    [4_000, 4],
  ] as const) {
    expect(lane.status().nextAttemptAt).not.toBeNull();
    await pass(waitMs - 1);
    expect(calls('pull')).toBe(pulls - 1);
    await pass(1);
    expect(calls('pull')).toBe(pulls);
  }
  expect(told).toHaveLength(1);
  registry[image] = 'image-unauthorized';
  await pass(8_000);
  expect(told).toHaveLength(2);
  registry[image] = 'ok';
  await pass(60_000);
  expect(seen.here).toBe(1);
});

it('where trying again is useless it is looked for ever more slowly, but at once when somebody says so or brings an image', async () => {
  const { calls, woken, pass, lane, answered, engine, seen } = world('image-not-found');
  await woken();
  await pass(59_999);
  expect(calls('pull')).toBe(1);
  await pass(1);
  await pass(119_999);
  expect(calls('pull')).toBe(2);
  await pass(1);
  expect(calls('pull')).toBe(3);
  await woken();
  expect(calls('pull')).toBe(4);
  lane.glance();
  await answered();
  // Another one has come: no registry hears of it.
  expect([calls('pull'), seen.here]).toEqual([4, 0]);
  engine.images.add(image);
  lane.glance();
  await answered();
  expect([calls('pull'), seen.here]).toEqual([4, 1]);
});

it('pull_policy never: no registry is asked; somebody brings it', async () => {
  const { calls, woken, pass, lane, engine, seen, told } = world('ok', 'never');
  await woken();
  expect(told).toEqual([expect.stringContaining('is not on this host, and pull_policy is never')]);
  expect(lane.status()).toMatchObject({ image, progress: null, advice: expect.stringContaining('docker load') as unknown });
  engine.images.add(image);
  await pass(60_000);
  expect([seen.here, calls('pull')]).toEqual([1, 0]);
});

it('nothing while something stands in the way, not even what has come meanwhile', async () => {
  const { calls, woken, pass, lane, engine, seen, answered } = world('image-pull-failed');
  seen.halted = 'the gate is closed';
  await woken();
  expect([calls('hasImage'), calls('pull')]).toEqual([0, 0]);
  expect(lane.status()).toMatchObject({ reason: expect.stringContaining('nothing is pulled now: the gate is closed') as unknown });
  seen.halted = null;
  await woken();
  expect(calls('pull')).toBe(1);
  seen.halted = 'the machine goes away';
  await pass(600_000);
  engine.images.add(image);
  lane.glance();
  await answered();
  expect([calls('pull'), seen.here]).toEqual([1, 0]);
  seen.halted = null;
  await woken();
  expect(seen.here).toBe(1);
});

it('a registry that says nothing for a minute is worth a word, and no longer when it does', async () => {
  const { woken, pass, lane, engine, seen } = world('ok');
  let say: (line: string) => void = () => {};
  let end: () => void = () => {};
  engine.pull = (_, progress) => {
    say = progress;
    return new Promise((resolve) => {
      end = resolve;
    });
  };
  await woken();
  expect(lane.status()).toMatchObject({ progress: `pull ${image}`, nextAttemptAt: null });
  await pass(59_999);
  expect(lane.isMissing).toBe(false);
  await pass(1);
  expect(lane.isMissing).toBe(true);
  expect(lane.status()).toMatchObject({ reason: expect.stringContaining('has said nothing for 1 m 00 s') as unknown });
  expect(lane.status().advice).not.toBe('');
  say('a1b2: Downloading');
  expect([lane.isMissing, lane.status().progress]).toEqual([false, `pull ${image}: a1b2: Downloading`]);
  end();
  await pass(0);
  expect(seen.here).toBe(1);
});

it('a layer that takes minutes is no silent registry, as long as something comes', async () => {
  const { clock, woken, pass, lane, engine, seen } = world('ok');
  const body = new PassThrough();
  const client = { clock, call: () => Promise.resolve(), open: () => Promise.resolve(body) } as unknown as DockerClient;
  engine.pull = (name, progress, options = {}) => pullImage(client, name, progress, options);
  await woken();
  const says = async (message: Readonly<Record<string, unknown>>): Promise<void> => {
    const read = vi.spyOn(clock, 'after');
    body.write(`${JSON.stringify(message)}\n`);
    // Every message arms the timer of a stall anew.
    await vi.waitFor(() => expect(read).toHaveBeenCalled(), { interval: 1 });
    read.mockRestore();
  };
  for (let second = 0; second < 200; second += 5) {
    await says({ id: 'a1b2', status: 'Downloading', progressDetail: { current: second } });
    await pass(5_000);
    expect([second, lane.isMissing]).toEqual([second, false]);
  }
  expect(lane.status().progress).toBe(`pull ${image}: a1b2: Downloading`);
  await pass(60_000);
  expect(lane.isMissing).toBe(true);
  body.end();
  await vi.waitFor(() => expect(seen.here).toBe(1));
});

it('paused during a pull, the pull goes on, and its image is here though nothing is taken up', async () => {
  const { woken, pass, lane, engine, seen, answered, clock } = world('image-pull-failed');
  await woken();
  expect(lane.isMissing).toBe(true);
  let end: () => void = () => {};
  engine.pull = (name) =>
    new Promise((resolve) => {
      end = () => {
        engine.images.add(name);
        resolve();
      };
    });
  await woken();
  seen.halted = 'it is paused';
  expect(lane.status().reason).toContain('; the pull under way goes on, but nothing is taken up now: it is paused');
  end();
  await answered();
  const here = {
    progress: null,
    nextAttemptAt: null,
    advice: '',
    reason: `the image ${image} is here; the new configuration is not taken up now: it is paused`,
  };
  expect(lane.status()).toMatchObject(here);
  expect([seen.here, lane.isMissing, lane.isUndecided, clock.pendingTimers]).toEqual([0, false, false, 0]);
  engine.images.delete(image);
  lane.glance();
  await answered();
  expect(lane.status().reason).toContain('is not on this host; nothing is pulled now');
  engine.images.add(image);
  lane.glance();
  await pass(600_000);
  expect(lane.status()).toMatchObject(here);
  seen.halted = null;
  await woken();
  expect(seen.here).toBe(1);
});

it('what does not wait any more asks nobody', async () => {
  const { clock, calls, woken, lane, pass, seen, engine, answered } = world('image-pull-failed');
  await woken();
  lane.stop();
  engine.images.add(image);
  lane.wake();
  lane.glance();
  await answered();
  await pass(600_000);
  expect([calls('pull'), seen.here, clock.pendingTimers]).toEqual([1, 0, 0]);
});

it('an engine that does not answer says so itself', async () => {
  const { woken, pass, lane, told, engine, seen } = world('ok');
  engine.fail('hasImage', 'engine-unreachable');
  await woken();
  expect([told, lane.isMissing]).toEqual([[], false]);
  await pass(1_000);
  expect(seen.here).toBe(1);
});

it('an image that comes between the look and its answer is seen, though no registry may be asked', async () => {
  const { lane, engine, seen, answered, told } = world('ok', 'never');
  const has = engine.hasImage.bind(engine);
  let answer: () => void = () => {};
  engine.hasImage = () => new Promise((resolve) => (answer = () => resolve(false)));
  lane.wake();
  await answered();
  engine.hasImage = has;
  engine.images.add(image);
  lane.glance();
  answer();
  await answered();
  expect([told.length, seen.here]).toEqual([1, 1]);
});

it('what comes to stand in the way while the engine is asked counts', async () => {
  const { lane, engine, seen, answered, woken } = world('image-pull-failed');
  await woken();
  engine.images.add(image);
  lane.glance();
  seen.halted = 'the machine goes away';
  await answered();
  expect(seen.here).toBe(0);
  seen.halted = null;
  await woken();
  expect(seen.here).toBe(1);
});
