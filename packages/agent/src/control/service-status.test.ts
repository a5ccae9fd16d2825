import { expect, test } from 'vitest';
import { serviceStatus } from './service-status.ts';

const up = { state: 'up', reason: 'answers' } as const;
const workload = (name: string, phase: 'ready' | 'back-off' | 'setting-up', reason: string, stage: string | null = null) => ({
  name,
  phase,
  reason,
  stage,
});

test('what is ready is counted; what is not says why, or what it is at', () => {
  expect(serviceStatus({ engine: up, gate: null, workloads: [] })).toBe('supervising 0 workload(s)');
  const workloads = [
    workload('a', 'ready', 'all checks pass'),
    workload('b', 'back-off', 'no such image'),
    workload('c', 'setting-up', 'begun', 'setup 2/5: keys'),
  ];
  expect(serviceStatus({ engine: up, gate: null, workloads })).toBe(
    'supervising 3 workload(s): 1 ready, 1 back-off, 1 setting-up; b: no such image; c: setup 2/5: keys',
  );
});

test('an engine that is away and a closed gate stand before the workloads', () => {
  const gate = { state: 'waiting' as const, since: 0, reason: 'dpkg is at work', deadlineAt: null, conditions: [] };
  const engine = { state: 'down', reason: 'refused' } as const;
  expect(serviceStatus({ engine, gate, workloads: [] })).toBe(
    'supervising 0 workload(s); the engine does not answer: refused; the host is waited for: dpkg is at work',
  );
});

test('a file that is refused stands before all of it: where, for what stands there only root may read', () => {
  const refused = {
    reason: 'agent.yaml:2:1: workload: hunter2\nagent.yaml:3:1: x',
    places: ['agent.yaml:2:1: workload', 'agent.yaml:3:1'],
  };
  expect(serviceStatus({ engine: up, gate: null, refused, workloads: [workload('b', 'back-off', 'no such image')] })).toBe(
    'supervising 1 workload(s): 1 back-off; its configuration is refused (relight-agent status): agent.yaml:2:1: workload: is not valid; b: no such image',
  );
  const away = { reason: '/etc/relight/agent.yaml: there is no such file\nx' };
  expect(serviceStatus({ engine: up, gate: null, refused: away, workloads: [] })).toBe(
    'supervising 0 workload(s); its configuration is refused (relight-agent status): /etc/relight/agent.yaml: there is no such file',
  );
});

test('a long story is cut', () => {
  const line = serviceStatus({ engine: up, gate: null, workloads: [workload('b', 'back-off', 'x'.repeat(1_000))] });
  expect(line).toHaveLength(300);
  expect(line.endsWith('…')).toBe(true);
});
