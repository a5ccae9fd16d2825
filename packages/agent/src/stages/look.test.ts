/** With the mounts of this very process; one that hangs or is disconnected needs FUSE: test/e2e/incidents.test.ts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { systemClock } from '@relight/shared/clock';
import { expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import { look } from './look.ts';
import type { StageContext } from './stage.ts';

const [mount] = workloadFixture().mounts;

function lookAt(containerPid: number): ReturnType<typeof look> {
  const mounts = [
    { ...mount!, name: 'asked', target: '/nowhere' },
    { ...mount!, name: 'another', target: '/nowhere' },
  ];
  const context: Pick<StageContext, 'clock' | 'spec' | 'signal'> = {
    clock: systemClock,
    spec: workloadFixture({ mounts }),
    signal: new AbortController().signal,
  };
  return look({ kind: 'look', containerPid, mounts: ['asked'] }, context as StageContext);
}

test('one that is not there is lost, and nobody else is asked', async () => {
  expect(await lookAt(process.pid)).toEqual({
    kind: 'look',
    lost: [{ mount: 'asked', condition: 'absent', message: 'nothing is mounted at /nowhere' }],
  });
});

test('in a container that is gone nothing is said of any', async () => {
  const gone = spawn('true');
  await once(gone, 'exit');
  expect(await lookAt(gone.pid ?? 0)).toEqual({ kind: 'look', lost: [] });
});
