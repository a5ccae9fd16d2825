/**
 * A FUSE mount of the host, seen through a volume. When its program dies and somebody mounts it again, the host has a new file system
 * there; a private bind keeps the dead one for as long as the container lives, and no shell in the container can change that. Pure:
 * which mounts are asked, and what their answers mean.
 */
import type { VolumesProbe } from '../config/spec.ts';
import { fuseOnTop, isFuse, type MountEntry, normalPath, topMountAt } from '../stages/proc.ts';
import type { Outcome } from './outcome.ts';
import type { MountCondition } from './probe.ts';

export interface FuseVolume {
  readonly mount: MountEntry;
  /** The same place on the host. */
  readonly source: string;
  /** The device of the volume that it lies in; null: it is the volume. */
  readonly within: string | null;
}

/**
 * The FUSE mounts at or below a volume: one of `/mnt` brings those in it along. A mount of the workload's own has a check of its own.
 */
export function fuseVolumes(mounts: readonly MountEntry[], { binds, except }: VolumesProbe): readonly FuseVolume[] {
  const own = new Set(except.map(normalPath));
  const volumes = binds
    .map(({ source, target }) => ({ source: normalPath(source), target: normalPath(target) }))
    .toSorted((a, b) => b.target.length - a.target.length);
  return mounts.flatMap((mount) => {
    const { mountPoint } = mount;
    if (fuseOnTop(mounts, mountPoint) !== mount || own.has(mountPoint)) return [];
    const volume = volumes.find(({ target }) => mountPoint === target || mountPoint.startsWith(`${target}/`));
    if (volume === undefined) return [];
    const within = mountPoint === volume.target ? null : (topMountAt(mounts, volume.target)?.device ?? null);
    return [{ mount, source: normalPath(volume.source + mountPoint.slice(volume.target.length)), within }];
  });
}

interface Look {
  readonly condition: MountCondition;
  readonly message: string;
}
export interface VolumeAnswer {
  readonly volume: FuseVolume;
  readonly inside: Look;
  /** Null: what is inside answers, so nobody asked the host. `mount`: what lies there now, when it answers. */
  readonly host: (Look & { readonly mount: MountEntry | null }) | null;
}

export function judgeVolumes(answers: readonly VolumeAnswer[]): Outcome {
  const found = answers.map(judge);
  const worst = order.flatMap((kind) => found.filter((finding) => finding.kind === kind));
  const [first] = worst;
  if (first === undefined) return { ok: true, message: 'no volume is a FUSE mount' };
  if (first.kind === 'answers')
    return { ok: true, message: `${found.length} FUSE ${found.length === 1 ? 'mount answers' : 'mounts answer'}` };
  const message = worst
    .filter(({ kind }) => kind !== 'answers')
    .map(({ text }) => text)
    .join('; ');
  if (first.kind === 'unclear') return { ok: false, message, unknown: true };
  if (first.kind === 'waits') return { ok: false, message, code: 'volume-lost', reportOnly: true };
  return { ok: false, message, code: 'volume-lost', ...(first.kind === 'left' ? { certain: true } : {}) };
}

/** `left`: behind, for good. `silent`: the same, as far as anybody can tell. `waits`: the host has nothing better. */
type Kind = 'left' | 'silent' | 'waits' | 'unclear' | 'answers';
const order: readonly Kind[] = ['left', 'silent', 'waits', 'unclear', 'answers'];

function judge({ volume: { mount, source, within }, inside, host }: VolumeAnswer): { readonly kind: Kind; readonly text: string } {
  const dead = inside.condition === 'disconnected';
  const text = `${mount.mountPoint}: ${inside.message}`;
  if (inside.condition === 'ok' || inside.condition === 'absent') return { kind: 'answers', text };
  if (host === null || (!dead && inside.condition !== 'hung')) return { kind: 'unclear', text };
  const follows = 'a new container follows by itself';
  if (host.condition !== 'ok') {
    const now = `on the host ${source} is no better (${host.message})`;
    return { kind: 'waits', text: `${text}; ${now}: umount -l it there and mount it again, ${follows}` };
  }
  // Nothing but the volume itself: somebody in the container may have mounted there, and no new container brings that back.
  if (host.mount === null || !isFuse(host.mount) || host.mount.device === within)
    return { kind: 'waits', text: `${text}; on the host no FUSE mount is at ${source} any more: mount it again there, ${follows}` };
  // One and the same file system: it has answered a moment later.
  if (host.mount.device === mount.device) return { kind: 'unclear', text };
  const anew = `${source} was mounted again on the host, which only a new container sees`;
  return { kind: dead ? 'left' : 'silent', text: `${text}; ${anew}` };
}
