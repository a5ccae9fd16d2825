import { ManualClock } from '@relight/shared/manual-clock';
import { hostMetricsSchema, type HostMetrics } from '@relight/shared/status';
import { mkdirSync, mkdtempSync, type StatsFs, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { waitFor } from '../../../../test/support/wait.ts';
import { readHostFacts } from './facts.ts';
import { cpuShare, metricsIntervalMs, MetricsSampler, rate } from './metrics.ts';

const statsFs = { type: 0, bsize: 4096, blocks: 1000, bfree: 500, bavail: 400, files: 100, ffree: 60 } as StatsFs;

function fakeProc(): { procRoot: string; write: (name: string, content: string) => void } {
  const procRoot = mkdtempSync(join(tmpdir(), 'relight-proc-'));
  mkdirSync(join(procRoot, 'net'));
  mkdirSync(join(procRoot, 'self'));
  const write = (name: string, content: string): void => writeFileSync(join(procRoot, name), content);
  write('loadavg', '1.50 1 1 1/1 1\n');
  write('stat', 'cpu  100 0 0 900 0 0 0 0 0 0\n');
  write('meminfo', 'MemTotal: 2048 kB\nMemAvailable: 1024 kB\n');
  write('net/dev', ' eth0: 1000 0 0 0 0 0 0 0 500 0 0 0 0 0 0 0\n');
  write('self/mountinfo', '1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /bucket rw - fuse.gcsfuse bucket rw\n');
  return { procRoot, write };
}

describe('host metrics', () => {
  test('rates and shares are over the time between two samples', async () => {
    const { procRoot, write } = fakeProc();
    const clock = new ManualClock();
    const sampler = new MetricsSampler({
      clock,
      procRoot,
      disks: ['/data'],
      residentBytes: () => 7,
      statfs: () => Promise.resolve(statsFs),
    });
    write('stat', 'cpu  300 0 0 1700 0 0 0 0 0 0\n');
    write('net/dev', ' eth0: 21000 0 0 0 0 0 0 0 10500 0 0 0 0 0 0 0\n');
    clock.advance(10_000);
    expect(await sampler.sample()).toEqual({
      at: clock.now(),
      load1: 1.5,
      cpuUsed: 0.2,
      memoryTotalBytes: 2_097_152,
      memoryAvailableBytes: 1_048_576,
      networkReceiveBytesPerSecond: 2_000,
      networkTransmitBytesPerSecond: 1_000,
      agentResidentBytes: 7,
      disks: [{ path: '/data', totalBytes: 4_096_000, freeBytes: 1_638_400, inodesFree: 60, inodesTotal: 100 }],
    });
  });

  test('what cannot be read is absent', async () => {
    const sampler = new MetricsSampler({ clock: new ManualClock(), procRoot: '/nonexistent', disks: ['/'], residentBytes: () => 7 });
    expect(Object.keys(await sampler.sample()).toSorted()).toEqual(['agentResidentBytes', 'at', 'disks']);
  });

  test('never asks a FUSE or network file system, and two paths on one disk once', async () => {
    const statfs = vi.fn<(path: string) => Promise<StatsFs>>().mockResolvedValue(statsFs);
    const sampler = new MetricsSampler({ clock: new ManualClock(), ...fakeProc(), disks: ['/bucket/x', '/data', '/other/'], statfs });
    const { disks } = await sampler.sample();
    expect(disks.map(({ path }) => path)).toEqual(['/data']);
    expect(statfs.mock.calls).toEqual([['/data']]);
  });

  test('a disk that does not answer costs one outstanding call and one second, and is back when it answers', async () => {
    const clock = new ManualClock();
    const hanging = Promise.withResolvers<StatsFs>();
    const statfs = vi.fn<(path: string) => Promise<StatsFs>>().mockReturnValueOnce(hanging.promise).mockResolvedValue(statsFs);
    const sampler = new MetricsSampler({ clock, ...fakeProc(), disks: ['/data'], statfs });
    const first = sampler.sample();
    clock.advance(1_000);
    expect((await first).disks).toEqual([]);
    expect((await sampler.sample()).disks).toEqual([]);
    expect(statfs).toHaveBeenCalledTimes(1);
    hanging.resolve(statsFs);
    await hanging.promise;
    await waitFor(async () => (await sampler.sample()).disks.length === 1, { what: 'the disk to be back' });
    expect(clock.pendingTimers).toBe(0);
  });

  test('samples at once and every 10 s until disposed', async () => {
    const clock = new ManualClock();
    const samples: HostMetrics[] = [];
    const sampler = new MetricsSampler({ clock, ...fakeProc(), disks: [] });
    sampler.start((sample) => samples.push(sample));
    for (let n = 1; n <= 3; n += 1) {
      await waitFor(() => samples.length === n, { what: `sample ${n}` });
      clock.advance(metricsIntervalMs);
    }
    sampler.dispose();
    expect(clock.pendingTimers).toBe(0);
    expect(samples.map(({ at }) => at - (samples[0]?.at ?? 0)).slice(0, 3)).toEqual([0, 10_000, 20_000]);
  });

  test('counters that begin anew give no rate', () => {
    expect(rate(100, 50, 1_000)).toBeUndefined();
    expect(rate(100, 150, 999)).toBeUndefined();
    expect(rate(100, 150, 1_000)).toBe(50);
    expect(cpuShare({ busy: 5, total: 10 }, { busy: 5, total: 10 })).toBeUndefined();
    expect(cpuShare({ busy: 5, total: 10 }, { busy: 4, total: 20 })).toBeUndefined();
  });

  test('this machine', async () => {
    const sampler = new MetricsSampler({ clock: new ManualClock(), disks: ['/'] });
    const sample = hostMetricsSchema.parse(await sampler.sample());
    expect(sample.memoryAvailableBytes).toBeLessThan(sample.memoryTotalBytes ?? 0);
    expect(sample.agentResidentBytes).toBeGreaterThan(1e6);
    expect(readHostFacts()).toMatchObject({
      kernel: expect.any(String),
      cpuCores: expect.any(Number),
      memoryTotalBytes: expect.any(Number),
    });
  });
});
