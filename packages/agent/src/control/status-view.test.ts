import { sharedMachineIdAdvice } from '@relight/shared/machine';
import { describe, expect, test } from 'vitest';
import { exampleNow as now, exampleStart as start, exampleStatus } from '../../../../test/support/agent-status.ts';
import { agentStatusSchema, statusDocument, type AgentStatus } from './status.ts';
import { statusLines } from './status-view.ts';

/** Of these rows, with what goes on below them. */
const delivery = (status: AgentStatus): string[] => {
  const lines = statusLines(status, now);
  return lines.slice(
    lines.findIndex((line) => line.startsWith('collector')) + 1,
    lines.findIndex((line) => line.startsWith('load')),
  );
};

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

  test('on a terminal of 80 columns nothing is wider, and what has no room in its line stands below it, all of it', () => {
    const reason = 'the readiness check http http://127.0.0.1:8080/healthz has not passed within 3 m 00 s: connection refused';
    const example = exampleStatus();
    const [first, second] = example.workloads;
    const status = {
      ...example,
      workloads: [
        { ...first!, reason },
        { ...second!, restarts: { process: 0, container: 0, host: 0 } },
      ],
    };
    const lines = statusLines(status, now, 80);
    expect(lines).toEqual([
      'host       tpu-0, agent 0.1.0 for 1 h 00 m, id',
      '           f3b1c2d4-0000-0000-0000-000000000000',
      'engine     up, version 20.10.24',
      'config     /etc/relight/agent.yaml, read 1 h 00 m ago',
      'collector  wss://c:7460 not connected for 1 m 00 s; waiting: 7 events, 2.0 KiB',
      '           of logs; connection refused',
      'load       0.50, cpu 12 %, memory 8.0 GiB free of 16.0 GiB',
      '',
      'WORKLOAD    PHASE       FOR     ATTEMPT  NEXT       GEN  CONTAINER',
      'ray-worker  setting-up  10.0 s  2        -          3    0123456789ab',
      '    restarts  4 process, 2 container',
      '    stage     setup 2/5: ssh keys (4.2 s)',
      '    reason    the readiness check http http://127.0.0.1:8080/healthz has not',
      '              passed within 3 m 00 s: connection refused',
      'other       back-off    10.0 s  2        in 12.0 s  3    -',
      '    reason    said [2J rm',
    ]);
    // What has room stays in its line.
    expect(statusLines(exampleStatus(), now, 200)).toEqual(statusLines(exampleStatus(), now));
    // A name is never cut.
    const long = 'w'.repeat(63);
    expect(statusLines({ ...status, workloads: [{ ...first!, name: long }] }, now, 80)).toContain(`${long}  setting-up`);
  });

  test('why the collector is not reached, and what to do about it while that lasts', () => {
    const away = exampleStatus();
    const collector = { ...away.collector!, lastError: 'HTTP 401: the token was revoked', lastAdvice: 'Let it join again.' };
    const rows = (connected: boolean): string[] => delivery({ ...away, collector: { ...collector, connected } });
    expect(rows(false)).toEqual(['           Let it join again.']);
    expect(rows(true)).toEqual([]);
    // Of an agent that is older.
    expect(agentStatusSchema.parse({ ...away, collector: { ...collector, lastAdvice: undefined } }).collector?.lastAdvice).toBeNull();
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
    const catchingUp = { bytesPerSecond: 4 * 2 ** 20, leftMs: 40_000 };
    expect(statusLines({ ...exampleStatus(), agent: { ...room, oldestLogMs: 65_000 }, catchingUp }, now)).toContain(
      'outbox     1.0 MiB of 8.0 MiB (25 %); the oldest waits for 1 m 05 s, catching up: 4.0 MiB of logs a second, about 40.0 s left',
    );
  });

  test('what is missing in the logs, why last, and what to do about it while it is news', () => {
    const segment = { workload: 'ray-worker', generation: 3, source: 'process', run: '1' };
    const none = { since: start, count: 0, lines: 0, bytes: 0, untoldBytes: 0, last: null };
    const last = { segment, reason: 'rate-limit', at: now - 125_000 };
    const rows = (gaps: Parameters<typeof statusLines>[0]['gaps'], reason?: string): string[] =>
      delivery({ ...exampleStatus(), gaps: reason === undefined || gaps === null ? gaps : { ...gaps, last: { ...last, reason } } });
    expect(rows(none)).toEqual(['gaps       none in the logs since the agent began']);
    const three = { ...none, count: 3, lines: 812, bytes: 2 ** 20, last };
    expect(rows(three)).toEqual([
      'gaps       3 since the agent began, 812 lines, 1.0 MiB as far as known; the last 2 m 05 s ago in ray-worker process: rate-limit',
      '           More is written than logs.rate_limit lets through: raise it, or have the program say less.',
    ]);
    expect(rows(three, 'rotated')[1]).toContain('max-size');
    expect(rows(three, 'outbox-full')[1]).toContain('disk of the state directory');
    expect(rows(three, 'freed')).toHaveLength(1);
    expect(rows({ ...three, last: { ...last, at: now - 86_400_000 } })).toEqual([expect.stringContaining('1 d 00 h ago')]);
    expect(rows({ ...none, count: 1, last })[0]).toContain('1 since the agent began, of unknown size; the last');
    // The collector is away: what had to go will be a gap.
    expect(rows({ ...none, untoldBytes: 2 ** 23 })).toEqual([
      'gaps       none in the logs since the agent began; 8.0 MiB given up for want of room are still to be told',
      '           Let this host reach its collector, or give the disk of the state directory room: the oldest lines go first.',
    ]);
    expect(rows(null)).toEqual([]);
  });

  test.each([
    [0, ["clock      as the collector's, told 12.0 s ago"]],
    [-49, ["clock      as the collector's, told 12.0 s ago"]],
    [3_200, ["clock      3.2 s ahead of the collector's, told 12.0 s ago"]],
    [-5_000, ["clock      5.0 s behind the collector's, told 12.0 s ago"]],
    [
      -86_400_000,
      ["clock      1 d 00 h behind the collector's, told 12.0 s ago", '           Let it be set: timedatectl set-ntp true, or chronyd.'],
    ],
  ])('a clock that is %i ms ahead of the collector', (skewMs, lines) => {
    const status = exampleStatus();
    const collector = status.collector === null ? null : { ...status.collector, clock: { skewMs, ageMs: 12_000 } };
    expect(delivery({ ...status, collector })).toEqual(lines);
  });

  test('another host with the same machine id: who, where, and what to do', () => {
    const status = exampleStatus();
    const machineIdSharedWith = { host: 'host-b', address: '10.0.0.2' };
    const collector = status.collector === null ? null : { ...status.collector, machineIdSharedWith };
    expect(delivery({ ...status, collector })).toEqual([
      'machine id  host-b at 10.0.0.2 has the same, and is refused by the collector',
      `            ${sharedMachineIdAdvice}`,
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

  test('as a document: gaps with their times for programs, the clock as it was told', () => {
    const status = exampleStatus();
    const segment = { workload: 'ray-worker', generation: 3, source: 'process', run: '1' };
    const gaps = { since: start, count: 1, lines: 2, bytes: 3, untoldBytes: 4, last: { segment, reason: 'rotated', at: now } };
    const collector = status.collector === null ? null : { ...status.collector, clock: { skewMs: -7_000, ageMs: 5 } };
    expect(statusDocument({ ...status, gaps, collector })).toMatchObject({
      gaps: { ...gaps, since: '2026-01-01T00:00:00.000Z', last: { ...segment, reason: 'rotated', at: '2026-01-01T01:00:00.000Z' } },
      collector: { clock: { skewMs: -7_000, ageMs: 5 } },
    });
    expect(statusDocument(status)).toMatchObject({ gaps: null, collector: { clock: null } });
  });

  test('an agent that is older than gaps and clock is shown without them', () => {
    const { gaps: _, ...older } = exampleStatus();
    const { clock: _clock, ...collector } = older.collector ?? { clock: null };
    expect(agentStatusSchema.parse({ ...older, collector })).toEqual(exampleStatus());
  });

  test('the example is what travels', () => {
    expect(agentStatusSchema.parse(exampleStatus())).toEqual(exampleStatus());
  });
});
