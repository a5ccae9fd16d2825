import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { SimulatedWorld } from '../../../../test/support/simulated-world.ts';
import { classify } from './classify.ts';

const poll =
  'UNAVAILABLE: Socket closed; Additional GRPC error information from remote target coordination_service while calling /tensorflow.CoordinationService/PollForError:';

test('a peer of the slice that failed is told apart from a failure of this host', () => {
  expect(classify('process', ['step 100', poll, 'aborted'], 134)).toMatchObject({
    code: 'slice-peer-failed',
    recoverable: true,
    cause: poll,
  });
  expect(classify('process', ['E0101 Socket closed'], 1)?.code).toBe('slice-peer-failed');
  expect(classify('process', ['The TPU is already in use by process with pid 1', poll], 1)?.code).toBe('tpu-busy');
  expect(classify('process', ['ray.exceptions.RpcError: RPC Error message: Socket closed; RPC Error details:'], 1)).toBeNull();
});

test('it waits for the slice, longer each time, and spends nothing', () => {
  const world = new SimulatedWorld(workloadFixture());
  world.observe();
  world.settle();
  const waits: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    world.lastLines = [poll];
    world.killProcess(134);
    expect(world.state).toMatchObject({ phase: 'waiting', restarts: { process: 0, container: 0, host: 0 } });
    expect(world.pending).toBeNull();
    const until = world.state.backOff?.until ?? 0;
    waits.push(Math.round((until - world.now) / 1_000));
    world.advance(until - world.now - 1);
    expect(world.pending).toBeNull();
    world.advance(1);
    expect(world.pending?.op.kind).toBe('prepare');
    expect(world.settle()).toBe(true);
  }
  expect(waits).toEqual(waits.toSorted((a, b) => a - b));
  expect(waits[0]).toBeGreaterThanOrEqual(28);
  expect(waits.at(-1)).toBeLessThanOrEqual(126);
});
