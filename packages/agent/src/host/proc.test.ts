import { describe, expect, test } from 'vitest';
import { parseOsRelease } from './facts.ts';
import { mountOf, parseCpuTicks, parseLoad1, parseMemory, parseNetworkBytes } from './proc.ts';
import { parseMountinfo } from '../stages/proc.ts';

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 999999     100    0    0    0     0          0         0   999999     100    0    0    0     0       0          0
  ens4: 1000000   5000    0    0    0     0          0         0   250000    3000    0    0    0     0       0          0
  ens5:5          1       0    0    0     0          0         0   7          1       0    0    0     0       0          0
docker0: 777     10    0    0    0     0          0         0   888      10    0    0    0     0       0          0
veth1f2e3d: 777     10    0    0    0     0          0         0   888      10    0    0    0     0       0          0
`;

const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,discard
23 22 0:21 / /proc rw,nosuid - proc proc rw
40 22 8:16 / /mnt/my\\040disk rw,relatime shared:9 - xfs /dev/sdb rw
41 22 0:50 / /opt/bucket rw,nosuid - fuse.gcsfuse bucket rw,user_id=0
42 22 0:30 /kubepods /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate
43 40 0:61 / /mnt/my\\040disk rw - tmpfs tmpfs rw
`;

describe('readers of /proc', () => {
  test('loadavg', () => {
    expect(parseLoad1('0.52 0.58 0.59 1/467 12345\n')).toBe(0.52);
    expect(parseLoad1('')).toBeUndefined();
  });

  test('stat: busy is everything but idle and iowait; guest time is not counted twice', () => {
    expect(parseCpuTicks('cpu  100 5 50 800 40 1 2 2 30 3\ncpu0 100 5 50 800 40 1 2 2 30 3\nintr 5\n')).toEqual({ busy: 160, total: 1000 });
    expect(parseCpuTicks('')).toBeUndefined();
  });

  test('meminfo', () => {
    expect(parseMemory('MemTotal:       16384000 kB\nMemFree:  1 kB\nMemAvailable:    8192000 kB\n')).toEqual({
      totalBytes: 16_777_216_000,
      availableBytes: 8_388_608_000,
    });
    expect(parseMemory('')).toEqual({});
  });

  test('net/dev counts what leaves the host, once', () => {
    expect(parseNetworkBytes(netDev)).toEqual({ receive: 1_000_005, transmit: 250_007 });
    expect(parseNetworkBytes('')).toBeUndefined();
  });

  test('mountinfo: escapes, roots, and the later mount hides the earlier one', () => {
    const mounts = parseMountinfo(mountinfo);
    expect(mounts).toHaveLength(6);
    expect(mounts[4]).toMatchObject({ root: '/kubepods', fsType: 'cgroup2', superOptions: ['rw', 'nsdelegate'] });
    expect(mountOf(mounts, '/mnt/my disk/data')?.fsType).toBe('tmpfs');
    expect(mountOf(mounts, '/opt/bucket')?.fsType).toBe('fuse.gcsfuse');
    expect(mountOf(mounts, '/opt/bucket2')?.fsType).toBe('ext4');
    expect(mountOf([], '/')).toBeUndefined();
  });

  test('os-release', () => {
    expect(parseOsRelease('NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')).toBe(
      'Debian GNU/Linux 12 (bookworm)',
    );
    expect(parseOsRelease("NAME='Thing OS'\nVERSION_ID=3\n")).toBe('Thing OS 3');
    expect(parseOsRelease('')).toBeUndefined();
  });
});
