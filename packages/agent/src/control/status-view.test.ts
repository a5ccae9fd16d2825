import { describe, expect, test } from 'vitest';
import { exampleNow as now, exampleStart as start, exampleStatus } from '../../../../test/support/agent-status.ts';
import { agentStatusSchema } from './status.ts';
import { statusLines } from './status-view.ts';

describe('status for people', () => {
  test('shows what, how long, why and what next', () => {
    expect(statusLines(exampleStatus(), now)).toEqual([
      'host       tpu-0, agent 0.1.0 for 1 h 00 m, id f3b1c2d4-0000-0000-0000-000000000000',
      'engine     up, version 20.10.24',
      'config     /etc/relight/agent.yaml, read 1 h 00 m ago',
      'collector  wss://c:7460 not connected for 1 m 00 s; waiting: 7 events, 2.0 KiB of logs; connection refused',
      'load       0.50, cpu 12 %, memory 8.0 GiB free of 16.0 GiB',
      '',
      'WORKLOAD    PHASE       FOR     ATTEMPT  NEXT       GEN  CONTAINER     RESTARTS                STAGE                        REASON',
      'ray-worker  setting-up  10.0 s  2        -          3    0123456789ab  4 process, 2 container  setup 2/5: ssh keys (4.2 s)  container exited with 137',
      'other       back-off    10.0 s  2        in 12.0 s  3    -             4 process, 2 container  -                            said [2J rm',
    ]);
  });

  test('an agent alone, engine down, nothing configured', () => {
    const lines = statusLines(
      {
        ...exampleStatus(),
        collector: null,
        metrics: null,
        workloads: [],
        engine: { state: 'down', reason: 'connection refused', version: null },
      },
      now,
    );
    expect(lines).toContain('engine     down: connection refused');
    expect(lines).toContain('collector  none configured, this agent works alone');
    expect(lines).toContain('No workloads are configured.');
  });

  test('a prepared spare has a line of its own', () => {
    const status = exampleStatus();
    const spare = { state: 'back-off', since: now - 90_000, reason: 'mount data: not connected' } as const;
    const lines = statusLines({ ...status, workloads: status.workloads.map((workload) => ({ ...workload, spare })) }, now);
    expect(lines.slice(-2)).toEqual([
      'ray-worker: spare back-off for 1 m 30 s: mount data: not connected',
      'other: spare back-off for 1 m 30 s: mount data: not connected',
    ]);
  });

  test('times ahead of the reader are now, not negative', () => {
    expect(statusLines(exampleStatus(), start - 5_000).join('\n')).not.toContain('-5');
  });

  test('the example is what travels', () => {
    expect(agentStatusSchema.parse(exampleStatus())).toEqual(exampleStatus());
  });
});
