import { expect, test } from 'vitest';
import { kernelText } from './kernel-words.ts';

const ours = 'a'.repeat(64);
const other = 'b'.repeat(64);

/** As a 6.x kernel reports it, shortened. */
const killing = (constraint: string, memcg: string, task: string, pid: number): readonly string[] => [
  `tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0`,
  ` oom_kill_process.cold+0x8/0x8a`,
  `oom-kill:constraint=${constraint},nodemask=(null),cpuset=x,mems_allowed=0,${memcg},task_memcg=/docker/${task},task=tail,pid=${pid},uid=0`,
  `${constraint === 'CONSTRAINT_MEMCG' ? 'Memory cgroup out of memory' : 'Out of memory'}: Killed process ${pid} (tail) total-vm:50472kB, anon-rss:48256kB`,
];

const marked = (texts: readonly string[], containerId = ours): readonly boolean[] =>
  kernelText(
    texts.map((text) => ({ at: 0, text })),
    containerId,
  )
    .split('\n')
    .map((line) => line.includes('another container'));

test('a killing in another container is set off, with its whole report; ours and what lies between are not', () => {
  const texts = [
    ...killing('CONSTRAINT_MEMCG', `oom_memcg=/docker/${other}`, other, 7),
    'EXT4-fs error (device sda1): something',
    ...killing('CONSTRAINT_MEMCG', `oom_memcg=/docker/${ours}`, ours, 8),
  ];
  expect(marked(texts)).toEqual([true, true, true, true, false, false, false, false, false]);
});

test('the host had no memory left, or a slice that is no container: that is about everybody', () => {
  expect(marked(killing('CONSTRAINT_NONE', 'global_oom', other, 7))).toEqual([false, false, false, false]);
  expect(marked(killing('CONSTRAINT_MEMCG', 'oom_memcg=/user.slice', other, 7))).toEqual([false, false, false, false]);
});

test('ours below the limit of another one, and an incident without a container', () => {
  expect(marked(killing('CONSTRAINT_MEMCG', `oom_memcg=/docker/${other}`, `${other}/docker/${ours}`, 7))).toEqual([
    false,
    false,
    false,
    false,
  ]);
  expect(marked(killing('CONSTRAINT_MEMCG', `oom_memcg=/docker/${other}`, other, 7), '')).toEqual([true, true, true, true]);
});
