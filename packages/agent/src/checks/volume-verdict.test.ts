import { describe, expect, test } from 'vitest';
import type { VolumesProbe } from '../config/spec.ts';
import type { MountEntry } from '../stages/proc.ts';
import { fuseVolumes, judgeVolumes, type VolumeAnswer } from './volume-verdict.ts';
import { deviceName } from './volumes.ts';

const entry = (mountPoint: string, device: string, fsType = 'fuse'): MountEntry => ({ mountPoint, device, fsType, root: '/', source: 's' });
const spec = (more: Partial<VolumesProbe> = {}): VolumesProbe => ({
  kind: 'volumes',
  binds: [
    { source: '/mnt/hostfuse/part/', target: '/data2/' },
    { source: '/mnt', target: '/all' },
    { source: '/srv', target: '/all/inner' },
  ],
  except: [],
  ...more,
});

describe('which mounts are asked', () => {
  const found = (mounts: readonly MountEntry[], probe = spec()) =>
    fuseVolumes(mounts, probe).map(({ mount, source }) => [mount.mountPoint, source]);

  test('FUSE on top of a volume or below it, with its place on the host', () => {
    expect(
      found([
        entry('/', '0:30', 'overlay'),
        entry('/data2', '0:52', 'fuse.gcsfuse'),
        entry('/all', '8:1', 'ext4'),
        entry('/all/bucket', '0:53', 'fuseblk'),
        entry('/all/inner/x', '0:54'),
      ]),
    ).toEqual([
      ['/data2', '/mnt/hostfuse/part'],
      ['/all/bucket', '/mnt/bucket'],
      ['/all/inner/x', '/srv/x'],
    ]);
  });

  test('not what is no volume, what another mount covers, what only begins like one, and the workload’s own mounts', () => {
    const mounts = [entry('/elsewhere', '0:50'), entry('/data22', '0:51'), entry('/data2', '0:52'), entry('/data2', '8:1', 'ext4')];
    expect(found(mounts)).toEqual([]);
    expect(found([entry('/all/own', '0:52')], spec({ except: ['/all/own/'] }))).toEqual([]);
  });

  test('the one on top of two', () => {
    expect(fuseVolumes([entry('/data2', '0:52'), entry('/data2', '0:60')], spec()).map(({ mount }) => mount.device)).toEqual(['0:60']);
  });
});

describe('what the answers mean', () => {
  const dead = { condition: 'disconnected', message: 'Transport endpoint is not connected' } as const;
  const hung = { condition: 'hung', message: 'no answer within 5 s' } as const;
  const fine = { condition: 'ok', message: '' } as const;
  const volume = { mount: entry('/data2', '0:52'), source: '/mnt/hostfuse', within: null };
  const anew = { ...fine, mount: entry('/mnt/hostfuse', '0:60') };
  const judge = (inside: VolumeAnswer['inside'], host: VolumeAnswer['host'] = null) => judgeVolumes([{ volume, inside, host }]);

  test('it answers, or there is none', () => {
    expect(judge(fine)).toEqual({ ok: true, message: '1 FUSE mount answers' });
    expect(judgeVolumes([])).toEqual({ ok: true, message: 'no volume is a FUSE mount' });
  });

  test('dead inside, mounted again on the host: lost for certain', () => {
    expect(judge(dead, anew)).toEqual({
      ok: false,
      code: 'volume-lost',
      certain: true,
      message: '/data2: Transport endpoint is not connected; /mnt/hostfuse was mounted again on the host, which only a new container sees',
    });
  });

  test('hung inside, mounted again on the host: lost when it stays so', () => {
    const outcome = judge(hung, anew);
    expect(outcome).toMatchObject({ ok: false, code: 'volume-lost' });
    expect(outcome.certain ?? outcome.reportOnly).toBeUndefined();
  });

  test.each([
    ['dead, too', { ...dead, mount: null }, 'umount -l it there and mount it again'],
    ['hung, too', { ...hung, mount: null }, 'umount -l it there and mount it again'],
    ['gone', { condition: 'error', message: 'No such file or directory', mount: null } as const, 'No such file or directory'],
    ['unmounted: what lies there is a directory of the disk', { ...fine, mount: entry('/', '8:1', 'ext4') }, 'mount it again there'],
    ['of a file system that no table has', { ...fine, mount: null }, 'mount it again there'],
  ])('on the host it is %s: told, with what to do there, and nothing is restarted', (_, host, advice) => {
    for (const inside of [dead, hung]) {
      const outcome = judge(inside, host);
      expect(outcome).toMatchObject({ ok: false, code: 'volume-lost', reportOnly: true });
      expect(outcome.message).toContain(advice);
    }
  });

  test('mounted by somebody in the container, inside a FUSE volume: on the host is only the volume, and nothing is restarted', () => {
    const mounts = [entry('/all', '0:52'), entry('/all/own', '0:70')];
    const own = fuseVolumes(mounts, spec()).find(({ mount }) => mount.mountPoint === '/all/own');
    if (own === undefined) throw new Error('not asked');
    const onHost = (mount: MountEntry) => judgeVolumes([{ volume: own, inside: dead, host: { ...fine, mount } }]);
    expect(onHost(entry('/mnt', '0:52'))).toMatchObject({ ok: false, reportOnly: true });
    expect(onHost(entry('/mnt/own', '0:60'))).toMatchObject({ ok: false, certain: true });
  });

  test('the same file system has answered on the host meanwhile, or nobody can say what is wrong: neither a pass nor a failure', () => {
    expect(judge(hung, { ...fine, mount: entry('/mnt/hostfuse', '0:52') })).toMatchObject({ ok: false, unknown: true });
    expect(judge({ condition: 'error', message: 'Permission denied' })).toMatchObject({ ok: false, unknown: true });
  });

  test('of several the worst counts, and all are told', () => {
    const other = { mount: entry('/data3', '0:53'), source: '/mnt/other', within: null };
    const outcome = judgeVolumes([
      { volume: other, inside: dead, host: { ...dead, mount: null } },
      { volume, inside: dead, host: anew },
      { volume, inside: fine, host: null },
    ]);
    expect(outcome).toMatchObject({ certain: true, message: expect.stringMatching(/^\/data2: .*; \/data3: /) as string });
    expect(outcome.reportOnly).toBeUndefined();
  });
});

test('a device number of stat, as mountinfo writes it', () => {
  expect(deviceName(52)).toBe('0:52');
  expect(deviceName(0x801)).toBe('8:1');
  // Minor 1000 = 0x3e8: more than 8 bits.
  expect(deviceName(0x3000e8)).toBe('0:1000');
  // Nothing that was asked has answered.
  expect(deviceName(Number.NaN)).toBe('NaN:NaN');
});
