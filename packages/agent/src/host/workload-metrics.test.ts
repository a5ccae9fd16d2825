import { ManualClock } from '@relight/shared/manual-clock';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { ContainerStats } from '../engine/engine.ts';
import { locateCgroup, parseMemberships } from './cgroup.ts';
import { parseMountinfo } from '../stages/proc.ts';
import { WorkloadMetricsSampler } from './workload-metrics.ts';

const id = 'c0ffee'.repeat(10) + 'c0de';
const container = new Map([['w', { id, pid: 77 }]]);

class Host {
  readonly root = mkdtempSync(join(tmpdir(), 'relight-cgroup-'));
  readonly clock = new ManualClock();
  readonly stats = vi.fn<(id: string) => Promise<ContainerStats | null>>().mockResolvedValue(null);
  readonly sampler = new WorkloadMetricsSampler({
    clock: this.clock,
    stats: this.stats,
    hostMemoryBytes: 1e9,
    procRoot: join(this.root, 'proc'),
  });

  write(files: Record<string, string>): this {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(this.root, name)), { recursive: true });
      writeFileSync(join(this.root, name), content.replaceAll('ROOT', this.root));
    }
    return this;
  }
}

const v2 = (): Host =>
  new Host().write({
    'proc/self/mountinfo': '1 0 0:30 / ROOT/cg rw - cgroup2 cgroup2 rw\n',
    'proc/77/cgroup': `0::/system.slice/docker-${id}.scope/init.scope\n`,
    [`cg/system.slice/docker-${id}.scope/cpu.stat`]: 'usage_usec 1000000\nuser_usec 1\n',
    [`cg/system.slice/docker-${id}.scope/memory.current`]: '5000\n',
    [`cg/system.slice/docker-${id}.scope/memory.stat`]: 'anon 1\ninactive_file 2000\n',
    [`cg/system.slice/docker-${id}.scope/memory.max`]: 'max\n',
    [`cg/system.slice/docker-${id}.scope/pids.current`]: '12\n',
  });

const v1 = (): Host =>
  new Host().write({
    'proc/self/mountinfo':
      '1 0 0:30 / ROOT/cpu rw - cgroup cgroup rw,cpu,cpuacct\n2 0 0:31 / ROOT/memory rw - cgroup cgroup rw,memory\n3 0 0:32 / ROOT/pids rw - cgroup cgroup rw,pids\n4 0 0:33 / ROOT/unified rw - cgroup2 cgroup2 rw\n',
    'proc/77/cgroup': `5:pids:/docker/${id}\n4:memory:/docker/${id}\n2:cpu,cpuacct:/docker/${id}\n1:name=systemd:/docker/${id}\n0::/\n`,
    [`cpu/docker/${id}/cpuacct.usage`]: '1000000000\n',
    [`memory/docker/${id}/memory.usage_in_bytes`]: '5000\n',
    [`memory/docker/${id}/memory.stat`]: 'inactive_file 1\ntotal_inactive_file 2000\n',
    [`memory/docker/${id}/memory.limit_in_bytes`]: '9223372036854771712\n',
    [`pids/docker/${id}/pids.current`]: '12\n',
  });

describe('workload metrics', () => {
  test.each([
    ['v2', v2, `cg/system.slice/docker-${id}.scope/cpu.stat`, 'usage_usec 16000000\n', `cg/system.slice/docker-${id}.scope/memory.max`],
    ['v1', v1, `cpu/docker/${id}/cpuacct.usage`, '16000000000\n', `memory/docker/${id}/memory.limit_in_bytes`],
  ] as const)('cgroup %s', async (_, make, cpuFile, later, limitFile) => {
    const host = make();
    const first = { memoryBytes: 3000, memoryLimitBytes: 1e9, pids: 12 };
    expect((await host.sampler.sample(container)).get('w')).toEqual(first);
    host.write({ [cpuFile]: later, [limitFile]: '4000\n' }).clock.advance(10_000);
    expect((await host.sampler.sample(container)).get('w')).toEqual({ ...first, memoryLimitBytes: 4000, cpuCores: 1.5 });
    expect(host.stats).not.toHaveBeenCalled();
  });

  test('a pid that belongs to someone else is not measured; the engine is asked instead', async () => {
    const host = v2().write({ 'proc/77/cgroup': '0::/user.slice/session-1.scope\n' });
    host.stats.mockResolvedValueOnce({ cpuNs: 0, memoryBytes: 10, memoryLimitBytes: 2e9, pids: 1 });
    expect((await host.sampler.sample(container)).get('w')).toEqual({ memoryBytes: 10, memoryLimitBytes: 1e9, pids: 1 });
    host.clock.advance(1_000);
    host.stats.mockResolvedValueOnce({ cpuNs: 5e8, memoryBytes: 10, memoryLimitBytes: 2e9, pids: 1 });
    expect((await host.sampler.sample(container)).get('w')).toMatchObject({ cpuCores: 0.5 });
    host.stats.mockRejectedValueOnce(new Error('engine away'));
    expect(await host.sampler.sample(container)).toEqual(new Map());
  });

  test('a container that is gone has no metrics, and a new one under its name no old counters', async () => {
    const host = v2();
    await host.sampler.sample(container);
    rmSync(join(host.root, 'cg'), { recursive: true });
    rmSync(join(host.root, 'proc/77'), { recursive: true });
    host.clock.advance(1_000);
    expect(await host.sampler.sample(container)).toEqual(new Map());
    expect(await host.sampler.sample(new Map())).toEqual(new Map());
  });

  test('respects the root of the cgroup mount, and gives up outside of it', () => {
    const mounts = parseMountinfo('1 0 0:30 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n');
    expect(locateCgroup(parseMemberships('0::/pod/abc\n'), mounts, 'abc')?.cpu).toBe('/sys/fs/cgroup/abc');
    expect(locateCgroup(parseMemberships('0::/other/abc\n'), mounts, 'abc')).toBeNull();
    expect(locateCgroup(parseMemberships('0::/../abc\n'), parseMountinfo('1 0 0:30 / /c rw - cgroup2 c rw\n'), 'abc')).toBeNull();
    expect(locateCgroup([], mounts, 'abc')).toBeNull();
  });
});
