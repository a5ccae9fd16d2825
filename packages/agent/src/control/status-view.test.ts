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

  test('what has not been delivered: how much of its room, since when, and what had to go', () => {
    const room = { at: now, eventBytes: 2 ** 20, eventBytesMax: 2 ** 22, logBytes: 0, logBytesMax: 2 ** 22 };
    const row = (agent: Parameters<typeof statusLines>[0]['agent']): string | undefined =>
      statusLines({ ...exampleStatus(), agent }, now).find((line) => line.startsWith('outbox'));
    expect(row(room)).toBe('outbox     1.0 MiB of 8.0 MiB (25 %); nothing waits');
    expect(row({ ...room, oldestEventMs: 300, oldestLogMs: 65_000, eventsDropped: 12 })).toBe(
      'outbox     1.0 MiB of 8.0 MiB (25 %); the oldest waits for 1 m 05 s; 12 events were given up for want of room',
    );
    expect(row({ at: now, cpuMs: 1 })).toBeUndefined();
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
