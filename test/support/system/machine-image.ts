/** The image of a whole machine: Debian with systemd as its first process and a Docker Engine of its own, made by debootstrap. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cached } from '../real/cache.ts';
import { debootstrap } from '../real/debootstrap.ts';
import { tool } from '../real/tool.ts';

const suite = 'bookworm';
const packages = ['systemd-sysv', 'dbus', 'docker.io', 'busybox-static', 'procps', 'iproute2', 'man-db', 'zsh', 'fish'];
/** Part of the name in the cache: raise it when what is written below changes. */
const layout = 1;

export const machineImage = `relight-machine:${suite}`;

/** Its root file system as a tar file: a few minutes the first time, nothing afterwards. */
export function prepareMachineImage(): Promise<string> {
  return cached(`machine-${suite}-${layout}.tar`, async (to) => {
    const work = await mkdtemp(join(tmpdir(), 'relight-rootfs-'));
    const root = join(work, 'root');
    try {
      await debootstrap({ suite, root, packages });
      for (const waste of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/locale']) {
        await rm(join(root, waste), { recursive: true, force: true });
      }
      // The network belongs to the engine that runs the machine; the machine's own engine leaves it alone.
      await mkdir(join(root, 'etc/docker'), { recursive: true });
      await writeFile(join(root, 'etc/docker/daemon.json'), '{"bridge": "none", "iptables": false, "ip6tables": false}\n');
      // Every machine gets one of its own at its first boot.
      await writeFile(join(root, 'etc/machine-id'), '');
      await tool('tar', ['-C', root, '--numeric-owner', '-cf', to, '.']);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
}
