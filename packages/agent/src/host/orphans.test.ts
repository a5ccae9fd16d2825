import { describe, expect, test } from 'vitest';
import type { ContainerFacts, ContainerStatus } from '../engine/engine.ts';
import { judgeOrphans, Orphans } from './orphans.ts';

const now = 1_000_000_000;
const minute = 60_000;

function container(workload: string, status: ContainerStatus, more: Partial<ContainerFacts> = {}): ContainerFacts {
  return {
    id: `id-${workload}-${status}`,
    name: workload,
    image: 'i',
    imageId: '',
    labels: { 'relight.agent': 'us', 'relight.workload': workload },
    status,
    pid: 0,
    createdAt: now - 100 * minute,
    startedAt: null,
    finishedAt: status === 'exited' ? now - 20 * minute : null,
    exitCode: null,
    oomKilled: false,
    error: '',
    restartPolicy: '',
    restartCount: 0,
    logDriver: '',
    logPath: '',
    tty: false,
    user: '',
    runDirectory: '',
    ...more,
  };
}

const kept = new Set(['kept']);
const judge = (own: readonly ContainerFacts[], mode: 'report' | 'remove-stopped' | 'remove') => {
  const { report, remove } = judgeOrphans(own, kept, mode, now);
  return { reported: report.map(({ subject, severity }) => `${subject} ${severity}`), remove };
};

describe('containers that no workload wants', () => {
  const all = [container('kept', 'exited'), container('kept', 'running'), container('old', 'running'), container('gone', 'exited')];

  test.each([
    ['report', ['old warning', 'gone info'], []],
    ['remove-stopped', ['old warning'], ['id-gone-exited']],
    ['remove', [], ['id-old-running', 'id-gone-exited']],
  ] as const)('%s', (mode, reported, remove) => {
    expect(judge(all, mode)).toEqual({ reported, remove });
  });

  test('what has just stopped is kept for a while; what never ran counts from its creation', () => {
    expect(judge([container('young', 'exited', { finishedAt: now - minute })], 'remove-stopped')).toEqual({
      reported: ['young info'],
      remove: [],
    });
    expect(judge([container('never', 'created', { createdAt: now - minute })], 'remove-stopped').remove).toEqual([]);
    expect(judge([container('never', 'created')], 'remove-stopped').remove).toEqual(['id-never-created']);
    expect(judge([container('frozen', 'paused')], 'remove-stopped')).toEqual({ reported: ['frozen warning'], remove: [] });
    expect(judge([container('going', 'removing')], 'remove')).toEqual({ reported: [], remove: [] });
  });

  test('says what it is, and the command that removes it', () => {
    const [condition] = judgeOrphans([container('old', 'running')], kept, 'remove-stopped', now).report;
    expect(condition).toEqual({
      name: 'orphan-container',
      subject: 'old',
      severity: 'warning',
      reason: 'the container of the workload "old", which the configuration has no more, runs, unwatched',
      advice: 'Remove it (docker rm -f old), or put the workload back into the configuration.',
    });
  });

  test('a removal is tried once at a time, and again after it failed', async () => {
    const calls: string[] = [];
    let fail: (error: Error) => void = () => {};
    const orphans = new Orphans({
      isAdopted: () => false,
      workloads: () => kept,
      mode: 'remove-stopped',
      wallNow: () => now,
      report: () => {},
      remove: (id) => {
        calls.push(id);
        return new Promise((_, reject) => {
          fail = reject;
        });
      },
      onRemoved: () => calls.push('removed'),
      warn: (id) => calls.push(`warned ${id}`),
    });
    orphans.observed(all);
    orphans.observed(all);
    expect(calls).toEqual(['id-gone-exited']);
    fail(new Error('no'));
    await new Promise((resolve) => setImmediate(resolve));
    orphans.observed(all);
    expect(calls).toEqual(['id-gone-exited', 'warned id-gone-exited', 'id-gone-exited']);
  });

  test.each(['report', 'remove-stopped', 'remove'] as const)('what was adopted is left as it is, and alone: %s', (mode) => {
    const removed: string[] = [];
    const reported: string[] = [];
    const orphans = new Orphans({
      isAdopted: (id) => id === 'id-found-running' || id === 'id-found-exited',
      workloads: () => kept,
      mode,
      wallNow: () => now,
      report: (list) => reported.push(...list.map(({ subject }) => subject)),
      remove: (id) => {
        removed.push(id);
        return Promise.resolve();
      },
      onRemoved: () => {},
      warn: () => {},
    });
    orphans.observed([container('found', 'running'), container('found', 'exited'), container('gone', 'exited')]);
    expect([reported, removed]).toEqual(mode === 'report' ? [['gone'], []] : [[], ['id-gone-exited']]);
  });
});
