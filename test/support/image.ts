/**
 * The image of the integration tests, made on the spot: busybox with all its commands, bindfs as a real FUSE program,
 * fuse-mute as one that falls silent on request. No registry is involved. Containers that mount need
 * `capAdd: ['SYS_ADMIN']`, the device /dev/fuse and `securityOpt: ['apparmor=unconfined']`.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ensurePrograms, findProgram, imagePrograms, testImagePrograms } from './engine-install.ts';

const run = promisify(execFile);

const muteSource = join(import.meta.dirname, 'fuse-mute/fuse-mute.c');
const cache = join(import.meta.dirname, '../../node_modules/.cache/relight');
/** Part of the cache key: raise it when the layout below changes. */
const layout = 1;

interface Engine {
  /** Path of its unix socket. */
  readonly socket: string;
}

/** Makes sure that the engine has the test image, and returns its name. Under a second when the tar file is cached. */
export function buildTestImage(engine: Engine): Promise<string> {
  return buildImage(engine, 'relight-test:latest', true);
}

/** The same without fuse-mute, for which a machine would need a C compiler. `name` is REPOSITORY:TAG. */
export function buildDemoImage(engine: Engine, name: string): Promise<string> {
  return buildImage(engine, name, false);
}

async function buildImage(engine: Engine, name: string, withMute: boolean): Promise<string> {
  await ensurePrograms(withMute ? testImagePrograms : imagePrograms);
  const files = await programFiles();
  await mkdir(cache, { recursive: true });
  const tar = join(cache, `image-${await digest(withMute ? [...files, muteSource] : files)}.tar`);
  if (!(await exists(tar))) await writeTar(tar, files, withMute);
  await importTar(engine.socket, name, tar);
  return name;
}

/** The programs and the libraries they load, as absolute paths. */
async function programFiles(): Promise<readonly string[]> {
  const paths = imagePrograms.map((name) => findProgram(name) ?? name);
  const libraries = await Promise.all(
    paths.map(async (path) => {
      // ldd fails for a static program.
      const { stdout } = await run('ldd', [path]).catch(() => ({ stdout: '' }));
      return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library]) => library ?? '');
    }),
  );
  return [...new Set([...paths, ...libraries.flat()])];
}

async function digest(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(String(layout));
  for (const path of paths) hash.update(path).update(await readFile(path));
  return hash.digest('hex').slice(0, 16);
}

async function writeTar(tar: string, files: readonly string[], withMute: boolean): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'relight-rootfs-'));
  try {
    for (const folder of ['bin', 'usr/bin', 'etc', 'tmp', 'run', 'proc', 'dev', 'sys', 'root', 'home/ray', 'mnt']) {
      await mkdir(join(root, folder), { recursive: true });
    }
    for (const file of files) {
      // Libraries keep their place, where the loader looks for them; programs go where PATH looks for them.
      const isLibrary = /\.so(?:\.|$)/.test(file);
      const to = isLibrary ? join(root, file) : join(root, 'bin', file.slice(file.lastIndexOf('/') + 1));
      await mkdir(dirname(to), { recursive: true });
      await cp(file, to, { dereference: true });
    }
    const { stdout: commands } = await run(join(root, 'bin/busybox'), ['--list']);
    for (const name of commands.trim().split('\n')) if (name !== 'busybox') await symlink('busybox', join(root, 'bin', name));
    if (withMute) await run('gcc', ['-O2', '-static', '-Wall', '-o', join(root, 'bin/fuse-mute'), muteSource]);
    await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nray:x:1000:1000:ray:/home/ray:/bin/sh\n');
    await writeFile(join(root, 'etc/group'), 'root:x:0:\nray:x:1000:\n');
    await writeFile(join(root, 'etc/fuse.conf'), 'user_allow_other\n');
    // Written aside and renamed: another run may look for it at this moment.
    await run('tar', ['-C', root, '--owner=0', '--group=0', '-cf', `${tar}.${process.pid}`, '.']);
    await rename(`${tar}.${process.pid}`, tar);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Makes an image of a root file system. `name` is REPOSITORY:TAG. */
export function importTar(socketPath: string, name: string, tar: string): Promise<void> {
  const [repo = '', tag = ''] = name.split(':');
  const query = new URLSearchParams({ fromSrc: '-', repo, tag, changes: 'ENV PATH=/usr/local/bin:/usr/bin:/bin' });
  return new Promise((resolve, reject) => {
    const call = request({
      socketPath,
      method: 'POST',
      path: `/images/create?${query.toString()}`,
      headers: { 'content-type': 'application/x-tar' },
    });
    call.once('error', reject);
    call.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const body = Buffer.concat(chunks).toString();
        const isDone = response.statusCode === 200 && !body.includes('"error"');
        if (isDone) resolve();
        else reject(new Error(`the image ${name} could not be imported: ${response.statusCode} ${body}`));
      });
    });
    createReadStream(tar).once('error', reject).pipe(call);
  });
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
