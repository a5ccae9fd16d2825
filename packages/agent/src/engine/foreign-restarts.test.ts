import { expect, test } from 'vitest';
import { restartPolicyConditions } from './foreign-restarts.ts';

const worker = { name: 'worker', status: 'running', restartPolicy: 'always' } as const;

const names = new Set(['worker', 'other']);

test('a restart policy of the engine on a container of ours, and the command that takes it away', () => {
  expect(restartPolicyConditions([worker, { ...worker, name: 'other', restartPolicy: 'no' }], names)).toMatchObject([
    {
      name: 'restart-policy',
      subject: 'worker',
      severity: 'warning',
      reason: expect.stringContaining('always') as string,
      advice: expect.stringContaining('docker update --restart no worker') as string,
    },
  ]);
});

test('one that is set aside or being removed is no matter any more', () => {
  const setAside = { ...worker, name: 'worker-relight-old-3' };
  expect(restartPolicyConditions([setAside, { ...worker, status: 'removing' }], names)).toEqual([]);
});
