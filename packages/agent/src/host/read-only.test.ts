import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { describe, expect, test } from 'vitest';
import { parseMountinfo } from '../stages/proc.ts';
import type { ReportedCondition } from './condition-diff.ts';
import { concernOf, usersOf } from './concerns.ts';
import { readOnlyConditions } from './read-only.ts';
import { ReadOnlyWatch } from './read-only-watch.ts';

/** `options` of the mount `|` of its file system. */
const line = (device: string, mountPoint: string, options: string, type = 'ext4', root = '/'): string => {
  const [own = '', ofSuper = ''] = options.split('|');
  return `22 1 ${device} ${root} ${mountPoint} ${own},relatime shared:1 - ${type} /dev/x${device.replace(':', '')} ${ofSuper}`;
};
const table = (...lines: readonly string[]) => parseMountinfo(lines.join('\n'));
const root = line('8:1', '/', 'rw|rw');
const inside = (options: string, type = 'ext4') => [
  { workload: 'w', mounts: table(line('0:50', '/', 'rw|rw', 'overlay'), line('8:2', '/scratch', options, type, '/w')) },
];
const found = (
  host: readonly string[],
  containers = inside('rw|rw'),
  { raised = [], writable = [] }: { readonly raised?: readonly string[]; readonly writable?: readonly string[] } = {},
) =>
  readOnlyConditions(
    { host: table(root, ...host), stateDir: '/var/lib/relight', engineRoot: '/var/lib/docker', containers },
    { raised, writable: new Set(writable), users: new Map() },
  );

describe('a file system became read-only', () => {
  test.each(['ro', 'rw,emergency_ro', 'rw,shutdown'])('under a container: by its mount point on the host (%s)', (now) => {
    expect(found([line('8:2', '/data', `rw|${now}`)], inside(`rw|${now}`))).toMatchObject([
      {
        name: 'read-only-filesystem',
        subject: '/data',
        severity: 'critical',
        reason: '/data (/dev/x82, ext4) has become read-only; used by w (/scratch in its container)',
        advice: expect.stringContaining('mount -o remount,rw /data') as string,
      },
    ]);
  });

  test('and the container was made anew before anybody looked: what could be written to before is known', () => {
    expect(found([line('8:2', '/data', 'ro|ro')], inside('ro|ro'), { writable: ['8:2'] })).toMatchObject([{ subject: '/data' }]);
    expect(found([line('8:2', '/data', 'rw|rw')], inside('ro|rw'), { writable: ['8:2'] })).toEqual([]);
  });

  test.each(['ro|ro', 'ro|rw'])('under the state directory (%s)', (options) => {
    const [condition, ...more] = found([line('8:3', '/var/lib', options)]);
    expect(more).toEqual([]);
    expect(condition).toMatchObject({
      subject: '/var/lib',
      reason: expect.stringContaining('the state directory /var/lib/relight') as string,
    });
  });

  test('that a new container has it read-only does not end it; that it is writable, or not mounted any more, does', () => {
    const raised = { raised: ['/data'] };
    expect(found([line('8:2', '/data', 'ro|ro')], inside('ro|ro'), raised)).toMatchObject([{ subject: '/data' }]);
    expect(found([line('8:2', '/data', 'rw|rw')], inside('ro|rw'), raised)).toEqual([]);
    expect(found([], [], raised)).toEqual([]);
  });
});

test.each([
  ['it was so before the container was made', inside('ro|ro')],
  ['it was mounted read-only there on purpose', inside('ro|rw')],
  ['a FUSE mount has checks of its own', inside('rw|ro', 'fuse.gcsfuse')],
  ['no disk', inside('rw|ro', 'sysfs')],
  ['an image that nobody can write to', inside('rw|ro', 'squashfs')],
])('nothing to say: %s', (_, containers) => {
  expect(found([line('8:2', '/data', 'ro|ro')], containers)).toEqual([]);
});

describe('whom a file system concerns', () => {
  const host = table(root, line('8:2', '/data', 'rw|rw'), line('8:3', '/var/lib', 'rw|rw'), line('7:0', '/mnt', 'rw|rw'));
  const tables = { host, stateDir: '/var/lib/relight', engineRoot: '/docker', containers: inside('ro|rw') };
  const concern = (mountPoint: string, users = usersOf(tables, new Map())) =>
    concernOf((mount) => mount.mountPoint === mountPoint, tables, users);

  test('everybody: the state directory or the data of the engine lies there', () => {
    expect([concern('/var/lib'), concern('/')]).toEqual(['host', 'host']);
  });

  test('the workloads that have it in their containers; of what nobody has, nobody', () => {
    expect([concern('/data'), concern('/mnt'), concern('/gone')]).toEqual([['w'], [], []]);
  });

  test('who fell of it still counts, until it is mounted no more', () => {
    const before = usersOf(tables, new Map());
    expect(concern('/data', usersOf({ host, containers: [] }, before))).toEqual(['w']);
    expect(usersOf({ host: table(root), containers: [] }, before)).toEqual(new Map());
  });
});

describe('the tables on the disk', () => {
  const procRoot = mkdtempSync(join(tmpdir(), 'relight-proc-'));
  const write = (pid: string, ...lines: readonly string[]): void => {
    mkdirSync(join(procRoot, pid), { recursive: true });
    writeFileSync(join(procRoot, pid, 'mountinfo'), lines.join('\n'));
  };

  function watching(containers: () => readonly { readonly workload: string; readonly pid: number }[]) {
    const reports: (readonly ReportedCondition[])[] = [];
    const clock = new ManualClock();
    const watch = new ReadOnlyWatch({
      clock,
      stateDir: '/var/lib/relight',
      engineRoot: () => null,
      containers,
      raised: () => reports.at(-1)?.map(({ subject }) => subject) ?? [],
      report: (list) => void reports.push(list),
      procRoot,
    });
    watch.start();
    return { clock, reports, watch };
  }

  test("are looked at every second, and reported when the host's has changed", () => {
    write('self', root, line('8:2', '/data', 'rw|rw'));
    write('7', line('8:2', '/scratch', 'rw|rw'));
    const { clock, reports, watch } = watching(() => [
      { workload: 'w', pid: 7 },
      { workload: 'gone', pid: 8 },
    ]);
    clock.advance(60_000);
    expect(reports).toEqual([[]]);
    write('self', root, line('8:2', '/data', 'ro|ro'));
    write('7', line('8:2', '/scratch', 'ro|ro'));
    clock.advance(1_000);
    expect(reports.at(-1)).toMatchObject([{ subject: '/data', data: { concerns: ['w'] } }]);
    write('self', root, line('8:2', '/data', 'rw|rw'));
    write('7', line('8:2', '/scratch', 'rw|rw'));
    clock.advance(1_000);
    expect(reports.at(-1)).toEqual([]);
    watch.dispose();
    expect(clock.pendingTimers).toBe(0);
  });

  test('of a container that comes at once; of one whose file systems the host does not show every five seconds', () => {
    write('self', root);
    write('7', line('8:3', '/scratch', 'rw|rw'));
    write('9', line('8:4', '/scratch', 'rw|ro'));
    const running = [{ workload: 'w', pid: 7 }];
    const { clock, reports, watch } = watching(() => running);
    running.push({ workload: 'x', pid: 9 });
    clock.advance(1_000);
    expect(reports.at(-1)).toMatchObject([{ subject: '/scratch', reason: expect.stringContaining('used by x') as string }]);
    write('9', line('8:4', '/scratch', 'rw|rw'));
    clock.advance(5_000);
    expect(reports.at(-1)).toEqual([]);
    watch.dispose();
  });
});
