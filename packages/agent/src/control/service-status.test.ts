import { expect, test } from 'vitest';
import { serviceStatus } from './service-status.ts';

const up = { state: 'up' } as const;
const workload = (name: string, phase: 'ready' | 'back-off' | 'setting-up', reason: string) => ({ name, phase, reason });
const why = 'why: sudo relight-agent status';

test('what is ready is counted; of what is not it says the phase, and how it ended', () => {
  expect(serviceStatus({ engine: up, gate: null, workloads: [] })).toBe('supervising 0 workload(s)');
  const workloads = [
    workload('a', 'ready', 'all checks pass'),
    workload('b', 'back-off', 'setup "keys": exit code 3: no such key; next attempt in 5.0 s'),
    workload('c', 'setting-up', 'killed by SIGKILL'),
    workload('d', 'setting-up', 'begun'),
  ];
  expect(serviceStatus({ engine: up, gate: null, workloads })).toBe(
    `supervising 4 workload(s): 1 ready, 1 back-off, 2 setting-up; ${why}; b: back-off (exit code 3); c: setting-up (killed by SIGKILL); d: setting-up`,
  );
});

test('an engine that is away and a closed gate stand before the workloads', () => {
  const gate = {
    state: 'waiting' as const,
    conditions: [
      { name: 'host setup', ok: false, message: 'host setup "login": exit code 1: hunter2' },
      { name: 'tcp hunter2:22', ok: false, message: 'refused' },
      { name: 'tcp hunter2:23', ok: false, message: 'refused' },
      { name: 'package manager', ok: false, message: 'dpkg is at work', waived: true },
      { name: 'boot', ok: true, message: 'hunter2' },
    ],
  };
  expect(serviceStatus({ engine: { state: 'down' }, gate, workloads: [] })).toBe(
    `supervising 0 workload(s); ${why}; the engine does not answer; the host is waited for: host setup, tcp`,
  );
  expect(serviceStatus({ engine: up, gate: { state: 'waiting', conditions: [] }, workloads: [] })).toBe(
    `supervising 0 workload(s); ${why}; the host is waited for: everything must be quiet`,
  );
});

test.each([
  ['setup "hunter2": exit code 3: token | hunter2 | killed by SIGHUNTER2', 'exit code 3'],
  ['process: killed by SIGTERM: hunter2', 'killed by SIGTERM'],
  ['process exited with code 139 (SIGSEGV)', 'exited with code 139 (SIGSEGV)'],
  ['exited with code 137 (SIGKILL), out of memory: hunter2', 'exited with code 137 (SIGKILL)'],
  ['process exited with code 1 (SIGhunter2)', 'exited with code 1'],
  ['process was killed', 'process was killed'],
  ['killed by SIGhunter2 exit code 2hunter2 exit code 99999', null],
  ['mount data: hunter2', null],
])('nothing that a program printed, or the configuration says, is in it: %s', (reason, ending) => {
  const line = serviceStatus({ engine: up, gate: null, workloads: [workload('b', 'back-off', reason)] });
  expect(line).toBe(`supervising 1 workload(s): 1 back-off; ${why}; b: back-off${ending === null ? '' : ` (${ending})`}`);
});

test('a file that is refused stands before all of it: where, for what stands there only root may read', () => {
  const refused = {
    reason: 'agent.yaml:2:1: workload: hunter2\nagent.yaml:3:1: x',
    places: ['agent.yaml:2:1: workload', 'agent.yaml:3:1'],
  };
  expect(serviceStatus({ engine: up, gate: null, refused, workloads: [workload('b', 'back-off', 'no such image')] })).toBe(
    'supervising 1 workload(s): 1 back-off; why: sudo relight-agent status; its configuration is refused (relight-agent status): agent.yaml:2:1: workload: is not valid; b: back-off',
  );
  const away = { reason: '/etc/relight/agent.yaml: there is no such file\nx' };
  expect(serviceStatus({ engine: up, gate: null, refused: away, workloads: [] })).toBe(
    'supervising 0 workload(s); its configuration is refused (relight-agent status): /etc/relight/agent.yaml: there is no such file',
  );
});

test('a long story is cut', () => {
  const line = serviceStatus({ engine: up, gate: null, workloads: [workload('x'.repeat(1_000), 'back-off', '')] });
  expect(line).toHaveLength(300);
  expect(line.endsWith('…')).toBe(true);
});
