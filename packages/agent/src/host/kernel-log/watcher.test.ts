import { ManualClock } from '@relight/shared/manual-clock';
import { describe, expect, test } from 'vitest';
import type { ReportedCondition } from '../condition-diff.ts';
import { parseMountinfo } from '../../stages/proc.ts';
import type { OomFact } from './oom.ts';
import { lost, openKernelLog, type KernelLogReader } from './reader.ts';
import { KernelLog } from './watcher.ts';
import { blockMountsOf, type BlockMount } from './block-mounts.ts';

const oomLine = (pid: number) =>
  `Out of memory: Killed process ${pid} (hog) total-vm:1kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0`;
const xid = (code: number) => `NVRM: Xid (PCI:0000:3b:00): ${code}, pid=9, name=python, words`;

/** A kernel log in memory, and its watcher. */
function bench(before: readonly string[] = []) {
  const clock = new ManualClock();
  const bootMs = 1_000_000;
  const pending: (string | typeof lost)[] = [];
  let seq = 0;
  const record = (text: string) => `4,${(seq += 1)},${Math.round((bootMs + clock.monotonic()) * 1_000)},-;${text}\n`;
  const say = (...texts: string[]) => void pending.push(...texts.map(record));
  const reader: { -readonly [K in keyof KernelLogReader]: KernelLogReader[K] } = {
    next: () => pending.shift() ?? null,
    close: () => void pending.splice(0),
  };
  const seen = { ooms: [] as OomFact[], xids: [] as [number, boolean][], unreadable: [] as string[] };
  let conditions: readonly ReportedCondition[] = [];
  let mounts: readonly BlockMount[] = [];
  const log = new KernelLog({
    clock,
    open: () => reader,
    bootUs: () => (bootMs + clock.monotonic()) * 1_000,
    blockMounts: () => mounts,
    onOom: (fact) => void seen.ooms.push(fact),
    onXid: ({ code }, _at, history) => void seen.xids.push([code, history]),
    report: (list) => (conditions = list),
    onUnreadable: (reason) => void seen.unreadable.push(reason),
  });
  say(...before);
  clock.advance(before.length === 0 ? 0 : 5_000);
  log.start();
  return {
    clock,
    log,
    seen,
    pending,
    reader,
    say,
    names: () => conditions.map(({ name }) => name),
    reasons: () => conditions.map(({ reason }) => reason),
    mounted: (name: string, writable: boolean) => (mounts = [{ names: [name], mountPoint: '/data', writable }]),
  };
}

describe('the watcher', () => {
  test('tells a killing within a second, and that the host was short of memory for a while', () => {
    const { clock, seen, say, names } = bench();
    say(oomLine(7));
    clock.advance(1_000);
    expect(seen.ooms).toMatchObject([{ pid: 7, name: 'hog', constraint: 'host' }]);
    expect(names()).toEqual(['out-of-memory']);
    clock.advance(14 * 60_000);
    expect(names()).toEqual(['out-of-memory']);
    clock.advance(61_000);
    expect(names()).toEqual([]);
  });

  test('what was before it is history: true of the host, but nobody is killed again', () => {
    const { clock, log, seen, names } = bench([oomLine(7), xid(79), 'EXT4-fs (sda1): Remounting filesystem read-only']);
    expect(seen.ooms).toEqual([]);
    expect(seen.xids).toEqual([[79, true]]);
    expect(names().toSorted()).toEqual(['gpu-xid', 'out-of-memory', 'read-only-filesystem']);
    expect(log.lines().map(({ at }) => at)).toEqual([clock.now() - 5_000, clock.now() - 5_000, clock.now() - 5_000]);
    expect(log.lines(clock.now() - 4_000)).toEqual([]);
  });

  test('the log of a long boot is soon history as a whole: who is killed right after is told', () => {
    const { clock, seen, say } = bench(Array.from({ length: 9_000 }, (_, i) => `veth${i}: entered promiscuous mode`));
    clock.advance(100);
    say(oomLine(7));
    clock.advance(1_000);
    expect(seen.ooms).toMatchObject([{ pid: 7 }]);
  });

  test('a file system that is writable again', () => {
    const { clock, say, names, reasons, mounted } = bench();
    mounted('dm-0', false);
    say('EXT4-fs (dm-0): Remounting filesystem read-only', 'BTRFS info (device sdb1): forced readonly');
    clock.advance(1_000);
    expect(names()).toHaveLength(2);
    expect(reasons()).toContainEqual('the kernel says: EXT4-fs (dm-0): Remounting filesystem read-only; it is mounted at /data');
    mounted('dm-0', true);
    clock.advance(10_000);
    expect(names()).toHaveLength(1);
  });

  test('a file system that was mounted and is no more, whatever the kernel says of that', () => {
    const { clock, say, names, mounted } = bench();
    mounted('sdb1', false);
    say('F2FS-fs (sdb1): Remounting filesystem read-only', 'F2FS-fs (sdc1): Remounting filesystem read-only');
    clock.advance(1_000);
    expect(names()).toHaveLength(2);
    mounted('sda1', true);
    clock.advance(10_000);
    // Of the other nobody has ever seen where it was mounted.
    expect(names()).toHaveLength(1);
  });

  test.each([
    ['EXT4-fs (sdb1): Remounting filesystem read-only', 'EXT4-fs (sdb1): unmounting filesystem 56c80bd8-0770-4493-adae-98c8d7167135.'],
    ['XFS (sdb1): Filesystem has been shut down due to log error (0x2).', 'XFS (sdb1): Unmounting Filesystem 56c80bd8'],
    [
      'BTRFS: error (device sdb1) in cleanup:1983: errno=-30 forced readonly',
      'BTRFS info (device sdb1 state E): last unmount of filesystem 56c8',
    ],
  ])('a file system that is unmounted, now or before the agent came: %s', (broke, unmounted) => {
    const { clock, say, names } = bench();
    say('EXT4-fs error (device sdb1): ext4_find_entry:1455: inode #2: comm ls', 'Aborting journal on device sdb1-8.', broke);
    clock.advance(1_000);
    expect(names().toSorted()).toEqual(['filesystem-errors', 'read-only-filesystem']);
    say(unmounted.replace('sdb1', 'sdc1'));
    clock.advance(1_000);
    expect(names()).toContain('read-only-filesystem');
    say(unmounted);
    clock.advance(1_000);
    expect(names()).toEqual([]);
    expect(bench([broke, unmounted]).names()).not.toContain('read-only-filesystem');
  });

  test('asked at once, it need not wait; a storm and lost records are survived', () => {
    const { log, seen, say, pending } = bench();
    say(...Array.from({ length: 5_000 }, (_, i) => `noise ${i}`), xid(31));
    pending.splice(3, 0, lost);
    for (let i = 0; i < 3; i += 1) log.look();
    expect(seen.xids).toEqual([[31, false]]);
    expect(log.lost).toBe(1);
    expect(log.lines().length).toBeLessThanOrEqual(1_000);
    expect(log.lines().at(-1)?.text).toBe(xid(31));
  });

  test('a log that breaks while somebody asks is said once, and its asker goes on', () => {
    const { log, seen, clock, reader } = bench();
    reader.next = () => {
      throw new Error('EIO');
    };
    expect(log.look()).toBe(true);
    expect(log.readable).toBe(false);
    clock.advance(60_000);
    expect(log.look()).toBe(true);
    expect(seen.unreadable).toEqual(['EIO']);
  });

  test('a log that cannot be read is said once, and costs nothing', () => {
    const clock = new ManualClock();
    const said: string[] = [];
    const log = new KernelLog({
      clock,
      open: () => openKernelLog('/nonexistent/kmsg'),
      bootUs: () => 0,
      blockMounts: () => [],
      onOom: () => undefined,
      onXid: () => undefined,
      report: () => undefined,
      onUnreadable: (reason) => void said.push(reason),
    });
    log.start();
    log.look();
    expect(said).toEqual([expect.stringContaining('ENOENT')]);
    expect(clock.pendingTimers).toBe(0);
  });
});

test('where block devices are mounted, and whether writable', () => {
  const mounts = parseMountinfo(
    [
      '22 1 253:0 / / rw,relatime - ext4 /dev/mapper/vg-root rw,errors=remount-ro',
      '23 1 8:1 / /a rw - ext4 /dev/sda1 ro',
      '24 1 8:2 / /b rw - ext4 /dev/sda2 rw,emergency_ro',
      '25 1 8:3 / /c rw - xfs /dev/sda3 rw',
      '26 1 0:40 / /d rw - btrfs /dev/sdb1 rw',
      '27 1 0:41 / /e rw - tmpfs tmpfs rw',
    ].join('\n'),
  );
  const found = blockMountsOf(mounts, (device) => (device === '253:0' ? 'dm-0' : null));
  expect(found.map(({ names, mountPoint, writable }) => [mountPoint, names.join(' '), writable])).toEqual([
    ['/', 'dm-0 vg-root', true],
    ['/a', 'sda1', false],
    ['/b', 'sda2', false],
    ['/c', 'sda3', false],
    ['/d', 'sdb1', true],
  ]);
});
