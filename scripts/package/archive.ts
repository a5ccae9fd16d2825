/**
 * A directory as a Debian package and as a tarball: the same directory gives the same bytes on any machine, whenever, whoever builds.
 * dpkg-deb and GNU tar order what they are given; nothing in it is younger than the sources, or carries the builder's name and umask.
 */
import { chmod, lutimes, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { tool } from '../../test/support/real/tool.ts';

export interface ArchiveOptions {
  readonly tree: string;
  readonly file: string;
  /** Seconds since the epoch. */
  readonly epoch: number;
}

/** `tree` holds DEBIAN/. By gzip, which every dpkg reads; Node would be a quarter smaller by xz, in eight times the time. */
export async function debianPackage({ tree, file, epoch }: ArchiveOptions): Promise<void> {
  await makeSame(tree, epoch);
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(epoch) };
  await tool('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z6', '--build', tree, file], { env });
}

/**
 * Everything stands below one folder named `name`. The folders themselves are not in it: unpacked into /usr/local, it must not
 * change the owner and mode of /usr/local/bin.
 */
export async function tarball({ tree, file, epoch, name }: ArchiveOptions & { readonly name: string }): Promise<void> {
  await makeSame(tree, epoch);
  const files = (await readdir(tree, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(tree.length + 1))
    .toSorted();
  const same = [`--mtime=@${epoch}`, '--owner=0', '--group=0', '--numeric-owner', '--format=gnu', `--transform=flags=rh;s,^,${name}/,`];
  await tool('tar', [...same, '--use-compress-program=gzip -n -6', '-cf', file, '-C', tree, '--no-recursion', ...files]);
}

async function makeSame(directory: string, epoch: number): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isSymbolicLink()) await chmod(path, entry.isDirectory() || ((await stat(path)).mode & 0o100) !== 0 ? 0o755 : 0o644);
  }
  await chmod(directory, 0o755);
  // Afterwards, and the folders after their files: none of it is touched again.
  for (const path of [...(await readdir(directory, { recursive: true })), '.']) await lutimes(join(directory, path), epoch, epoch);
}
