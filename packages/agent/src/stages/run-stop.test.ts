import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { systemClock } from '@relight/shared/clock';
import { expect, test } from 'vitest';
import { isAlive, readStat } from './proc.ts';
import type { ContainerProcess } from './run-members.ts';
import { stopMembers } from './run-stop.ts';

test('a group is told to end although one of its processes has ended since it was listed', async () => {
  const leader = spawn('sh', ['-c', 'while :; do sleep 10; done'], { detached: true, stdio: 'ignore' });
  const ended = once(leader, 'exit');
  const stat = readStat('/proc', leader.pid ?? 0);
  if (stat === null) throw new Error('the shell did not start');
  const listed: ContainerProcess = { ...stat, runId: 'run' };
  // The child that a shell starts for each command, gone by now.
  const gone: ContainerProcess = { ...listed, pid: 2 ** 22 + 1, ppid: listed.pid };
  const members = (): Promise<ContainerProcess[]> => Promise.resolve(isAlive('/proc', listed.pid, listed.startTicks) ? [listed, gone] : []);
  await stopMembers({ procRoot: '/proc', clock: systemClock, signal: new AbortController().signal, members }, 60_000);
  expect(await ended).toEqual([null, 'SIGTERM']);
});
