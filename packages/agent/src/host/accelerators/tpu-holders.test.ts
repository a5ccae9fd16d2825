import { describe, expect, test } from 'vitest';
import { formatRunId } from '../../supervisor/run-id.ts';
import type { DeviceHolder } from './device-holders.ts';
import { type Claim, describeHolder, standingOf } from './tpu-holders.ts';

const [present, dead, ofAnother, gone] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64)) as [string, string, string, string];
const claim: Claim = {
  ownerId: 'owner-1',
  workload: 'w',
  containerId: present,
  generation: 3,
  nextRun: 20,
  containers: new Map([
    [present, { name: 'ray', running: true, ours: true }],
    [dead, { name: 'ray-old', running: false, ours: true }],
    [ofAnother, { name: 'vllm', running: true, ours: false }],
  ]),
};
const run = (more: Partial<Parameters<typeof formatRunId>[0]> = {}): string =>
  formatRunId({ owner: 'owner-1', workload: 'w', generation: 3, n: 12, kind: 'process', name: '', ...more });
const holder = (containerId: string | null, runId: string | null): DeviceHolder => ({
  pid: 7,
  startTicks: 1,
  name: 'python3',
  devices: ['/dev/accel0'],
  containerId,
  runId,
});

describe('who holds a TPU', () => {
  test.each([
    // In the workload's own container.
    ['an ended run of the process', present, run({ n: 12 }), 'orphan'],
    ['the run that starts', present, run({ n: 20 }), 'own'],
    ['a mount of an earlier number', present, run({ n: 2, kind: 'mount', name: 'data' }), 'own'],
    ['what a step left on purpose', present, run({ n: 3, kind: 'setup', name: 's' }), 'own'],
    ['the container’s own command', present, null, 'own'],
    // In a container that is dead or gone.
    ['a run of the dead container', dead, run({ generation: 2, n: 5 }), 'orphan'],
    ['a run of a container that is gone', gone, run({ generation: 1, n: 1 }), 'orphan'],
    ['without a word, in our dead container', dead, null, 'orphan'],
    ['without a word, in a container that is gone', gone, null, 'foreign'],
    ['a run of another workload of ours, whose container is dead', dead, run({ workload: 'other' }), 'orphan'],
    // It left every container.
    ['a run of an earlier generation', null, run({ generation: 2, n: 5 }), 'orphan'],
    ['an ended run of this generation', null, run({ n: 19 }), 'orphan'],
    ['a run of another workload that may live', null, run({ workload: 'other', generation: 1 }), 'foreign'],
    ['a mount that moved itself', null, run({ n: 2, kind: 'mount', name: 'data' }), 'foreign'],
    ['a process of the host', null, null, 'foreign'],
    // Of others.
    ['somebody’s container', ofAnother, null, 'foreign'],
    ['another agent’s run', ofAnother, run({ owner: 'owner-2' }), 'foreign'],
    ['another agent’s run in a dead container', dead, run({ owner: 'owner-2' }), 'foreign'],
    ['our run in somebody’s living container', ofAnother, run({ generation: 1 }), 'foreign'],
    ['a RELIGHT_RUN that we did not write', null, 'nonsense', 'foreign'],
  ])('%s', (_, containerId, runId, standing) => {
    expect(standingOf(holder(containerId, runId), claim)).toBe(standing);
  });

  test('is named for a person', () => {
    expect(describeHolder(holder(ofAnother, null), claim.containers)).toBe('python3 (pid 7) in container vllm');
    expect(describeHolder(holder(gone, run()), claim.containers)).toBe('python3 (pid 7) in container dddddddddddd, of workload w');
    expect(describeHolder(holder(null, null), claim.containers)).toBe('python3 (pid 7) on the host');
  });
});
