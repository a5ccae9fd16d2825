/**
 * Do the host's FUSE mounts behind the volumes still answer? Mountinfo says which they are, so a container without any costs one small
 * file; every question is put by a child (mount.ts). What the answers mean: volume-verdict.ts.
 */
import type { VolumesProbe } from '../config/spec.ts';
import { mountOf } from '../host/proc.ts';
import { type MountEntry, readMountinfo, topMountAt } from '../stages/proc.ts';
import { MountProbes } from './mount.ts';
import { measured, type Outcome } from './outcome.ts';
import type { Probe, ProbeContext } from './probe.ts';
import { fuseVolumes, type FuseVolume, judgeVolumes, type VolumeAnswer } from './volume-verdict.ts';

export const volumes: Probe<'volumes'> = (spec, context) => measured(context, () => lookAtVolumes(spec, context));

type Context = Pick<ProbeContext, 'containerPid' | 'timeoutMs' | 'signal' | 'mounts' | 'clock'>;

export async function lookAtVolumes(spec: VolumesProbe, context: Context): Promise<Outcome> {
  const mounts = readMountinfo('/proc', context.containerPid);
  if (mounts === null) return { ok: false, message: `the container's first process (pid ${context.containerPid}) is gone`, unknown: true };
  return judgeVolumes(await Promise.all(fuseVolumes(mounts, spec).map((volume) => ask(volume, context))));
}

async function ask(volume: FuseVolume, context: Context): Promise<VolumeAnswer> {
  const { containerPid, timeoutMs, signal, clock, mounts = new MountProbes({ clock }) } = context;
  const inside = await mounts.probe({ containerPid, target: volume.mount.mountPoint, timeoutMs, signal });
  if (inside.condition !== 'disconnected' && inside.condition !== 'hung') return { volume, inside, host: null };
  const { source } = volume;
  const table = readMountinfo('/proc', process.pid) ?? [];
  // What was mounted there since is asked anew, whoever waits for the one before. (Through a symbolic link that one is waited for.)
  const key = `host ${source} ${mountOf(table, source)?.device ?? ''}`;
  const answers = await mounts.ask({ key, argv: ['stat', '-f', '-c', 'ok', '--', source], timeoutMs, signal });
  // The device number tells which file system it is; of a symbolic link, where it leads to.
  const which = ['stat', '-L', '-c', '%d', '--', source] as const;
  const { stdout, ...host } = answers.condition === 'ok' ? await mounts.ask({ key, argv: which, timeoutMs, signal }) : answers;
  // One that follows the host (rslave) may have done so between the two questions.
  if (topMountAt(readMountinfo('/proc', containerPid) ?? [], volume.mount.mountPoint)?.device !== volume.mount.device)
    return { volume, inside: { condition: 'error', message: 'it is being mounted anew at this moment' }, host: null };
  return { volume, inside, host: { ...host, mount: mountOfDevice(table, stdout) } };
}

function mountOfDevice(table: readonly MountEntry[], stdout: string): MountEntry | null {
  const number = Number(stdout.trim().split('\n').at(-1));
  const device = deviceName(number);
  return table.findLast((mount) => mount.device === device) ?? null;
}

/** As mountinfo writes what `stat` has as one number: 8 bits of the minor, 12 of the major, 12 more of the minor. */
export function deviceName(number: number): string {
  const minor = (number % 0x100) + Math.floor(number / 0x100000) * 0x100;
  return `${Math.floor(number / 0x100) % 0x1000}:${minor}`;
}
