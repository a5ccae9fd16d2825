import { expect, it } from 'vitest';
import { type ContainerProcess, leaderOf, membersOf, parseEnvironMatches } from './run-members.ts';

const run = (n: number, name = ''): string => `owner/work/1/${n}/process/${name}`;
let ticks = 0;
const process = (pid: number, ppid: number, session: number, runId: string | null): ContainerProcess => ({
  pid,
  ppid,
  session,
  pgrp: session,
  comm: `p${pid}`,
  state: 'S',
  startTicks: (ticks += 1),
  exiting: false,
  runId,
});
const pids = (members: readonly ContainerProcess[]): number[] => members.map(({ pid }) => pid);
const nobody = (): boolean => false;

it('takes what names the run, its sessions and its children, and nothing of others', () => {
  const init = process(1, 0, 1, null);
  const all = [
    init,
    process(10, 0, 10, run(1)),
    // Has overwritten its environment, and lost its parent.
    process(11, 1, 10, null),
    // Made its own session; its child has no environment.
    process(12, 1, 12, run(1)),
    process(13, 12, 12, null),
    process(14, 13, 14, null),
    // Another run, started by a process of this one.
    process(20, 10, 10, run(2)),
    process(30, 1, 30, null),
    // Of the container's own command.
    process(31, 1, 1, null),
  ];
  expect(pids(membersOf(all, [run(1)], [], nobody))).toEqual([10, 11, 12, 13, 14]);
  expect(pids(membersOf(all, [run(1), run(2)], [], nobody))).toEqual([10, 11, 12, 13, 14, 20]);
  expect(membersOf(all, [run(3)], [], nobody)).toEqual([]);
  expect(membersOf(all, [run(11)], [], nobody)).toEqual([]);
});

it('counts what ran before the process, and its verify, to the same run', () => {
  const all = [process(10, 0, 10, run(7, 'before')), process(11, 0, 11, run(7)), process(12, 0, 12, run(71))];
  expect(pids(membersOf(all, [run(7)], [], nobody))).toEqual([10, 11]);
});

it('does not claim a session that somebody else leads', () => {
  const outside = [process(10, 0, 99, run(1)), process(11, 0, 99, null)];
  expect(pids(membersOf(outside, [run(1)], [], (pid) => pid === 99))).toEqual([10]);
  const inside = [process(1, 0, 1, null), process(10, 1, 1, run(1)), process(11, 1, 1, null)];
  expect(pids(membersOf(inside, [run(1)], [], nobody))).toEqual([10]);
});

it('finds orphans without an environment by the recorded session, unless its number was given away', () => {
  const orphan = process(11, 1, 10, null);
  const recorded = { pid: 10, startTicks: orphan.startTicks - 1 };
  expect(pids(membersOf([orphan], [run(1)], [recorded], nobody))).toEqual([11]);
  expect(membersOf([orphan], [run(1)], [{ pid: 10, startTicks: orphan.startTicks + 1 }], nobody)).toEqual([]);
  const newLeader = process(10, 1, 10, null);
  expect(membersOf([newLeader, process(12, 10, 10, null)], [run(1)], [recorded], nobody)).toEqual([]);
});

it('stands for a run: the oldest session leader, else the oldest', () => {
  const worker = process(5, 1, 10, run(1));
  const wrapper = process(10, 1, 10, run(1));
  expect(leaderOf([wrapper, worker])?.pid).toBe(10);
  expect(leaderOf([worker])?.pid).toBe(5);
  expect(leaderOf([])).toBeNull();
});

it('reads the environments as grep prints them', () => {
  const output = `/proc/12/environ:RELIGHT_RUN=${run(1)}\0/proc/13/environ:RELIGHT_RUN=\0Binary file x matches\0`;
  expect([...parseEnvironMatches(output)]).toEqual([
    [12, run(1)],
    [13, ''],
  ]);
});
