import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { interpret, noContext, type KernelFact } from './facts.ts';
import { cgroupOfContainer } from './oom.ts';
import { parseKernelRecord } from './record.ts';
import { xidAction, xidVerdict } from './xid.ts';

const id = 'c9e80a4ed584188c8eef2213dc57af4927217491d1e92f91328f91c6b3512f59';

/** The facts in a piece of a log, one text a line. */
function facts(text: string): KernelFact[] {
  let context = noContext;
  const found: KernelFact[] = [];
  for (const line of text.split('\n')) {
    const step = interpret(context, { text: line.trim() });
    context = step.context;
    if (step.fact !== null) found.push(step.fact);
  }
  return found;
}

describe('records', () => {
  test.each([
    ['6,1234,5678901,-;hello\n', { seq: 1234, bootUs: 5_678_901, level: 6, text: 'hello' }],
    ['3,7,8,-,caller=T42;one\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:01.0\n', { seq: 7, bootUs: 8, level: 3, text: 'one' }],
    ['4,9,10,c;a; b: c\\x0ad\\xff\n', { seq: 9, bootUs: 10, level: 4, text: 'a; b: c dÿ' }],
  ])('%j', (raw, record) => {
    expect(parseKernelRecord(raw)).toEqual(record);
  });

  test('what root wrote into the log is not the kernel’s word', () => {
    expect(parseKernelRecord('12,1,2,-;NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.\n')).toBeNull();
    expect(parseKernelRecord('30,1,2,-;systemd[1]: x')).toBeNull();
  });

  test('anything may stand there', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `6,1,2,-;${text}`),
        ),
        (raw) => {
          const record = parseKernelRecord(raw);
          expect(() => (record === null ? null : interpret(noContext, record))).not.toThrow();
        },
      ),
    );
  });
});

describe('killings for want of memory', () => {
  test('6.18, cgroup v1', () => {
    expect(
      facts(`tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
        oom_kill_process.cold+0x8/0x8a
        [  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
        oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=${id},mems_allowed=0,oom_memcg=/docker/${id},task_memcg=/docker/${id},task=tail,pid=24950,uid=0
        Memory cgroup out of memory: Killed process 24950 (tail) total-vm:18128kB, anon-rss:16000kB, file-rss:1264kB, shmem-rss:0kB, UID:0 pgtables:72kB oom_score_adj:0
        oom_reaper: reaped process 24950 (tail), now anon-rss:0kB, file-rss:1260kB, shmem-rss:0kB`),
    ).toEqual([
      {
        kind: 'oom',
        pid: 24950,
        name: 'tail',
        constraint: 'container',
        cgroup: `/docker/${id}`,
        limitOf: `/docker/${id}`,
        residentBytes: 16_000 * 1024,
      },
    ]);
  });

  test('5.15, cgroup v2 with systemd, a limit above the container, a name with everything in it', () => {
    const scope = `/system.slice/docker-${id}.scope`;
    expect(
      facts(`oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=docker-${id}.scope,mems_allowed=0-1,oom_memcg=/system.slice,task_memcg=${scope},task=a, (b) pid=1,pid=77,uid=1000
        Memory cgroup out of memory: Killed process 77 (a, (b) pid=1) total-vm:1kB, anon-rss:2kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:4kB oom_score_adj:0`),
    ).toMatchObject([{ pid: 77, name: 'a, (b) pid=1', constraint: 'container', cgroup: scope, limitOf: '/system.slice' }]);
  });

  test('4.19', () => {
    expect(
      facts(`python invoked oom-killer: gfp_mask=0x6000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=0
        python cpuset=${id} mems_allowed=0
        Task in /docker/${id} killed as a result of limit of /docker/${id}
        memory: usage 51200kB, limit 51200kB, failcnt 21
        Memory cgroup out of memory: Kill process 12345 (python) score 999 or sacrifice child
        Killed process 12345 (python) total-vm:103216kB, anon-rss:50288kB, file-rss:5292kB, shmem-rss:0kB
        java invoked oom-killer: gfp_mask=0x14200ca(GFP_HIGHUSER_MOVABLE), nodemask=(null), order=0, oom_score_adj=0
        Out of memory: Kill process 99 (java) score 900 or sacrifice child
        Killed process 99 (java) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB`),
    ).toMatchObject([
      { pid: 12345, name: 'python', constraint: 'container', cgroup: `/docker/${id}`, limitOf: `/docker/${id}` },
      { pid: 99, name: 'java', constraint: 'host', cgroup: null, limitOf: null },
    ]);
  });

  test('3.10 with its UID in between', () => {
    expect(facts('Killed process 4711 (cc1plus), UID 1000, total-vm:10kB, anon-rss:5kB, file-rss:0kB, shmem-rss:0kB')).toMatchObject([
      { pid: 4711, name: 'cc1plus', constraint: 'host' },
    ]);
  });

  test('the host', () => {
    expect(
      facts(`oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/docker/${id},task=ray::train,pid=5,uid=0
        Out of memory: Killed process 5 (ray::train) total-vm:9kB, anon-rss:8kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0`),
    ).toMatchObject([{ pid: 5, name: 'ray::train', constraint: 'host', cgroup: `/docker/${id}`, limitOf: null }]);
  });

  test('a whole group at once (memory.oom.group)', () => {
    expect(
      facts(`oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/docker/${id},task_memcg=/docker/${id},task=a,pid=1,uid=0
        Tasks in /docker/${id} are going to be killed due to memory.oom.group set
        Memory cgroup out of memory: Killed process 1 (a) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0
        Memory cgroup out of memory: Killed process 2 (b) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0`),
    ).toMatchObject([
      { pid: 1, cgroup: `/docker/${id}` },
      { pid: 2, cgroup: `/docker/${id}` },
    ]);
  });

  test.each([
    [`/docker/${id}`, true],
    [`/system.slice/docker-${id}.scope`, true],
    [`/docker/${id}/init.scope`, true],
    ['/docker/0000', false],
    ['/', false],
    [null, false],
  ])('%s is the container: %s', (cgroup, is) => {
    expect(cgroupOfContainer(cgroup, id)).toBe(is);
    expect(cgroupOfContainer(cgroup, '')).toBe(false);
  });
});

describe('Xids', () => {
  test.each([
    [
      'NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python3, GPU has fallen off the bus.',
      { code: 79, address: '0000:3b:00.0', process: { pid: 1234, name: 'python3' } },
    ],
    [
      "NVRM: Xid (PCI:0000:01:00): 31, pid='<unknown>', name=<unknown>, Ch 00000010, intr 00000000. MMU Fault",
      { code: 31, address: '0000:01:00.0', process: null },
    ],
    ['NVRM: Xid (0000:05:00): 13, Graphics Exception on GPC 0', { code: 13, address: '0000:05:00.0', process: null }],
    ["NVRM: Xid (PCI:00000000:C1:00): 48, pid='77', name=x, DBE", { code: 48, address: '0000:c1:00.0', process: { pid: 77, name: 'x' } }],
  ])('%s', (text, fact) => {
    expect(facts(text)).toMatchObject([{ kind: 'xid', ...fact }]);
  });

  test.each([
    ['app', [13, 31, 94]],
    ['reset', [46, 62, 64, 95, 109, 119, 120, 140, 143]],
    ['replace', [79]],
    ['workflow', [48, 74, 144, 145, 146, 147, 148, 149, 150, 999]],
    ['ignore', [43, 63, 92]],
  ] as const)('%s', (action, codes) => {
    expect(codes.map(xidAction)).toEqual(codes.map(() => action));
  });

  test.each([
    ['GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)', 'reset'],
    ['GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)', 'replace'],
    ['GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)', 'ignore'],
    ['GPU recovery action changed from 0x0 (None) to 0x4 (Drain P2P)', 'workflow'],
    ['something else', 'workflow'],
  ])('154: %s → %s', (text, action) => {
    expect(xidVerdict({ code: 154, text }).action).toBe(action);
  });
});

describe('trouble', () => {
  test.each([
    ['EXT4-fs (nvme0n1p1): Remounting filesystem read-only', 'read-only-filesystem', 'nvme0n1p1'],
    ['EXT4-fs (sda1): shut down requested (2)', 'read-only-filesystem', 'sda1'],
    ['BTRFS info (device sdb1 state EA): forced readonly', 'read-only-filesystem', 'sdb1'],
    ['BTRFS info (device dm-1): forced readonly', 'read-only-filesystem', 'dm-1'],
    ['XFS (dm-0): Filesystem has been shut down due to log error (0x2).', 'read-only-filesystem', 'dm-0'],
    [
      'XFS (sdb1): Corruption of in-memory data (0x8) detected at xfs_trans_cancel+0x1 (fs/xfs/xfs_trans.c:1).  Shutting down filesystem.',
      'read-only-filesystem',
      'sdb1',
    ],
    ['XFS (dm-0): log I/O error -5', 'filesystem-errors', 'dm-0'],
    ['EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0', 'filesystem-errors', 'sda1'],
    ['Aborting journal on device sda1-8.', 'filesystem-errors', 'sda1'],
    ['Aborting journal on device dm-0-8.', 'filesystem-errors', 'dm-0'],
    ['BTRFS: error (device sda3) in btrfs_commit_transaction:2377: errno=-5 IO failure', 'filesystem-errors', 'sda3'],
    ['nvme nvme0: I/O 123 QID 4 timeout, aborting', 'nvme-reset', 'nvme0'],
    ['nvme nvme1: I/O tag 512 (1200) opcode 0x1 (Write) QID 3 timeout, reset controller', 'nvme-reset', 'nvme1'],
    ['nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10', 'nvme-reset', 'nvme0'],
    ['nvme nvme0: Removing after probe failure status: -19', 'nvme-lost', 'nvme0'],
    ['nvme nvme0: Disabling device after reset failure: -19', 'nvme-lost', 'nvme0'],
    ['blk_update_request: I/O error, dev nvme0n1, sector 123 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 0', 'disk-errors', 'nvme0n1'],
    ['I/O error, dev sda, sector 42 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2', 'disk-errors', 'sda'],
    ['Buffer I/O error on dev sda1, logical block 3, async page read', 'disk-errors', 'sda1'],
    ['critical medium error, dev sdc, sector 1', 'disk-errors', 'sdc'],
    ['INFO: task kworker/u4:2:1234 blocked for more than 120 seconds.', 'hung-task', ''],
    ['watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [python:1234]', 'cpu-stall', '3'],
    ['BUG: unable to handle page fault for address: 0000000000001234', 'kernel-oops', ''],
    ['mce: [Hardware Error]: CPU 0: Machine Check Exception: 5 Bank 4: b200000000070f0f', 'hardware-error', ''],
    ['{1}[Hardware Error]: event severity: fatal', 'hardware-error', ''],
    ['EDAC MC0: 1 UE memory read error on CPU_SrcID#0_Ha#0_Chan#0_DIMM#0', 'hardware-error', 'MC0'],
    ['pcieport 0000:00:01.0: AER: Uncorrected (Fatal) error received: 0000:00:01.0', 'hardware-error', ''],
    ['EDAC MC1: 3 CE memory scrubbing error on CPU_SrcID#1', 'hardware-corrected', 'MC1'],
    ['mce: [Hardware Error]: Machine check events logged', 'hardware-corrected', ''],
  ])('%s', (text, name, subject) => {
    expect(facts(text)).toMatchObject([{ kind: 'trouble', name, subject }]);
  });

  test.each([
    'relight19: port 1(veth89374c0) entered forwarding state',
    'EXT4-fs (sda1): mounted filesystem with ordered data mode. Quota mode: none.',
    'EXT4-fs (sda1): re-mounted. Opts: (null)',
    'XFS (sda1): Ending clean mount',
    'nvme nvme0: 8/0/0 default/read/poll queues',
    'pcieport 0000:00:01.0: AER: Corrected error received: 0000:00:01.0',
    'NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.129.03',
    'oom_reaper: reaped process 24950 (tail), now anon-rss:0kB',
    '',
  ])('%s is nothing', (text) => {
    expect(facts(text)).toEqual([]);
  });
});
