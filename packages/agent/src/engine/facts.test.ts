import { describe, expect, it } from 'vitest';
import { containerFacts, containerStats, type InspectDocument } from './facts.ts';

const zero = '0001-01-01T00:00:00Z';
const document: InspectDocument = {
  Id: 'abc',
  Name: '/ray_docker',
  Created: '2026-01-01T00:00:00.123456789Z',
  Image: 'sha256:1',
  RestartCount: 2,
  LogPath: '/var/lib/docker/containers/abc/abc-json.log',
  State: {
    Status: 'running',
    Pid: 7,
    ExitCode: 0,
    OOMKilled: false,
    Error: '',
    StartedAt: '2026-01-01T00:00:01.5+00:00',
    FinishedAt: zero,
  },
  Config: { Image: 'ray:latest', Tty: false, User: 'ray', Labels: { a: '1' } },
  HostConfig: { RestartPolicy: { Name: 'always' }, LogConfig: { Type: 'json-file' } },
  Mounts: [
    { Source: '/tmp', Destination: '/tmp' },
    { Source: '/var/lib/relight/runs/w', Destination: '/run/relight' },
  ],
};
const at = Date.UTC(2026, 0, 1);

describe('containerFacts', () => {
  it('reads a running container', () => {
    expect(containerFacts(document)).toEqual({
      id: 'abc',
      name: 'ray_docker',
      image: 'ray:latest',
      imageId: 'sha256:1',
      labels: { a: '1' },
      status: 'running',
      pid: 7,
      createdAt: at + 123,
      startedAt: at + 1_500,
      finishedAt: null,
      exitCode: null,
      oomKilled: false,
      error: '',
      restartPolicy: 'always',
      restartCount: 2,
      logDriver: 'json-file',
      logPath: '/var/lib/docker/containers/abc/abc-json.log',
      tty: false,
      user: 'ray',
      runDirectory: '/var/lib/relight/runs/w',
    });
  });

  it.each([
    ['exited', 0, document.State.StartedAt, 0],
    ['exited', 137, document.State.StartedAt, 137],
    ['restarting', 137, document.State.StartedAt, 137],
    ['created', 0, zero, null],
    ['created', 127, zero, 127],
    ['running', 0, document.State.StartedAt, null],
  ] as const)('%s with exit code %i, started %s → %s', (Status, ExitCode, StartedAt, exitCode) => {
    expect(containerFacts({ ...document, State: { ...document.State, Status, ExitCode, StartedAt } }).exitCode).toBe(exitCode);
  });

  it.each([
    ['exited', '2026-01-01T00:00:09Z', at + 9_000],
    ['exited', '2026-01-01T00:00:01.499Z', at + 1_500],
    ['running', '2026-01-01T00:00:00.500Z', at + 500],
    ['created', zero, null],
  ] as const)('%s with end %s after a start at 1.5 s → %s', (Status, FinishedAt, finishedAt) => {
    expect(containerFacts({ ...document, State: { ...document.State, Status, FinishedAt } }).finishedAt).toBe(finishedAt);
  });

  it('takes what engines leave out for what it means', () => {
    const { RestartCount: _, LogPath: __, Mounts: ___, ...rest } = document;
    const facts = containerFacts({ ...rest, Config: { ...document.Config, Labels: null }, HostConfig: { RestartPolicy: { Name: '' } } });
    expect(facts).toMatchObject({ labels: {}, restartPolicy: 'no', restartCount: 0, logDriver: '', logPath: '', runDirectory: '' });
  });
});

describe('containerStats', () => {
  it.each([
    ['cgroup v1', { total_inactive_file: 300, inactive_file: 1 }, 700],
    ['cgroup v2', { inactive_file: 400 }, 600],
    ['more cache than use, as v1 may report', { total_inactive_file: 2_000 }, 1_000],
    ['no details', {}, 1_000],
  ])('counts memory without the cache that can be dropped: %s', (_, stats, memoryBytes) => {
    const answer = {
      cpu_stats: { cpu_usage: { total_usage: 5 } },
      memory_stats: { usage: 1_000, limit: 4_000, stats },
      pids_stats: { current: 3 },
    };
    expect(containerStats(answer)).toEqual({ cpuNs: 5, memoryBytes, memoryLimitBytes: 4_000, pids: 3 });
  });

  it('knows the empty statistics of a container that does not run', () => {
    expect(containerStats({ cpu_stats: {}, memory_stats: {}, pids_stats: {} })).toBeNull();
  });
});
