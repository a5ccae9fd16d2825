/**
 * An image like the ones that `ray up` uses, as far as its shell goes: bash, Debian's `.bashrc` with its guard against shells that are
 * not interactive, and small stand-ins for `gcloud`, `gcsfuse` (a real FUSE mount by bindfs) and `ray`, which write down what they were given.
 */
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from './engine-install.ts';
import { importTar } from './image.ts';

const run = promisify(execFile);
const programs = ['busybox', 'bash', 'bindfs', 'fusermount3'];

const scripts: Readonly<Record<string, string>> = {
  gcloud: `#!/bin/bash
printf '%s\\n' "$@" >> /calls/gcloud
echo "ssh-rsa KEY of $BUCKET"`,
  // The bucket is the source of the mount, as with the real one.
  gcsfuse: `#!/bin/bash
printf '%s\\n' "$@" > /calls/gcsfuse
bucket=\${@: -2:1} target=\${@: -1}
mkdir -p /buckets/$bucket
exec bindfs -f -o fsname=$bucket /buckets/$bucket "$target"`,
  ray: `#!/bin/bash
echo "$@" >> /calls/ray
[ "$1" = start ] || exit 0
env > /calls/ray-env
ulimit -n > /calls/ray-nofile
case " $* " in *" --block "*) exec sleep infinity;; esac`,
};

/** Debian's, for root. */
const bashrc = `# ~/.bashrc: executed by bash(1) for non-login shells.
case $- in
    *i*) ;;
      *) return;;
esac
export FROM_BASHRC=yes
`;

export async function buildBashImage(engineSocket: string, name: string): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'relight-rootfs-'));
  try {
    for (const folder of ['bin', 'etc', 'tmp', 'run', 'proc', 'dev', 'sys', 'root', 'calls', 'buckets'])
      await mkdir(join(root, folder), { recursive: true });
    for (const program of programs) await withLibraries(findProgram(program) ?? program, root);
    for (const tool of ['sh', 'sleep', 'env', 'mkdir', 'cat', 'sed', 'test', 'chmod', 'rm', 'touch', 'stat'])
      await symlink('busybox', join(root, 'bin', tool));
    for (const [script, text] of Object.entries(scripts)) {
      await writeFile(join(root, 'bin', script), `${text}\n`);
      await chmod(join(root, 'bin', script), 0o755);
    }
    await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/bash\n');
    await writeFile(join(root, 'etc/fuse.conf'), 'user_allow_other\n');
    await writeFile(join(root, 'root/.bashrc'), bashrc);
    const tar = `${root}.tar`;
    await run('tar', ['-C', root, '--owner=0', '--group=0', '-cf', tar, '.']);
    await importTar(engineSocket, name, tar);
    await rm(tar);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function withLibraries(program: string, root: string): Promise<void> {
  // ldd fails for a static program.
  const { stdout } = await run('ldd', [program]).catch(() => ({ stdout: '' }));
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library]) => library ?? '');
  await cp(program, join(root, 'bin', program.split('/').at(-1) ?? ''), { dereference: true });
  for (const library of libraries) {
    await mkdir(dirname(join(root, library)), { recursive: true });
    await cp(library, join(root, library), { dereference: true });
  }
}
