/**
 * Images with real Ray and real gcsfuse, made on the spot: Debian by debootstrap, Ray from PyPI, gcsfuse compiled. There are
 * two, which differ in nothing but Ray's version. No registry of images is involved.
 */
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePrograms } from '../engine-install.ts';
import { importTar } from '../image.ts';
import { cached } from './cache.ts';
import { debootstrap } from './debootstrap.ts';
import { type GoPrograms, goPrograms } from './go-programs.ts';
import { type PrometheusPrograms, prometheusPrograms } from './prometheus-programs.ts';
import { pipInstall, tool } from './tool.ts';

const rayVersions = { cluster: '2.60.0', other: '2.59.0' } as const;

const requirements = join(import.meta.dirname, 'ray-requirements.txt');
const packages = 'usr/local/lib/python3.11/dist-packages';
/** Part of the name in the cache: raise it when what is written below changes. */
const layout = 1;

interface PreparedParts {
  /** Directory with one tar file per Ray version. */
  readonly images: string;
  readonly programs: GoPrograms;
  readonly monitoring: PrometheusPrograms;
}

export interface RealParts {
  /** With Ray of `rayVersions.cluster`. */
  readonly image: string;
  /** With Ray of `rayVersions.other`. */
  readonly otherImage: string;
  /** The GCS emulator, a program of this machine. */
  readonly emulator: string;
  readonly monitoring: PrometheusPrograms;
}

/** Downloads and compiles what the machine does not have yet: several minutes the first time, nothing afterwards. */
export async function prepareRealParts(): Promise<PreparedParts> {
  // Side by side: one compiles, the other mostly waits for the network.
  const compiling = goPrograms();
  compiling.catch(() => {});
  const version = createHash('sha256')
    .update(await readFile(requirements))
    .update(JSON.stringify(rayVersions));
  const name = `ray-images-${layout}-${version.digest('hex').slice(0, 12)}`;
  const images = await cached(name, (to) => makeImages(to, compiling));
  return { images, programs: await compiling, monitoring: await prometheusPrograms() };
}

/** Brings the images to an engine. */
export async function loadRealParts(engine: { readonly socket: string }): Promise<RealParts> {
  const { images, programs, monitoring } = await prepareRealParts();
  const load = async (version: string): Promise<string> => {
    const name = `relight-ray:${version}`;
    await importTar(engine.socket, name, join(images, `${version}.tar`));
    return name;
  };
  return { image: await load(rayVersions.cluster), otherImage: await load(rayVersions.other), emulator: programs.emulator, monitoring };
}

async function makeImages(to: string, compiling: Promise<GoPrograms>): Promise<void> {
  await ensurePrograms(['python3', 'pip3']);
  await mkdir(to, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), 'relight-rootfs-'));
  const root = join(work, 'root');
  try {
    await debootstrap({ suite: 'bookworm', root, packages: ['python3', 'fuse3', 'procps'] });
    for (const waste of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/locale', 'usr/share/man']) {
      await rm(join(root, waste), { recursive: true, force: true });
    }
    await writeFile(join(root, 'etc/fuse.conf'), 'user_allow_other\n');
    await pipInstall(join(root, packages), '-r', requirements);
    await writeFile(join(root, 'usr/local/bin/ray'), launcher);
    await chmod(join(root, 'usr/local/bin/ray'), 0o755);
    const { gcsfuse } = await compiling;
    await cp(gcsfuse, join(root, 'usr/local/bin/gcsfuse'));
    for (const version of Object.values(rayVersions)) {
      await installRay(root, version);
      await tool('tar', ['-C', root, '--owner=0', '--group=0', '-cf', join(to, `${version}.tar`), '.']);
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The one that pip writes names this machine's Python. */
const launcher = `#!/usr/bin/python3
import sys
from ray.scripts.scripts import main
sys.exit(main())
`;

/** In place of another version. */
async function installRay(root: string, version: string): Promise<void> {
  const directory = join(root, packages);
  for (const entry of await readdir(directory)) {
    if (/^ray(?:-.*)?$/.test(entry)) await rm(join(directory, entry), { recursive: true });
  }
  await pipInstall(directory, `ray==${version}`);
  // As every image of Ray has it: otherwise each new container compiles all of it again.
  const skip = '/ray/(rllib|data|train|tune|serve|jars)/';
  await tool('chroot', [root, 'python3', '-m', 'compileall', '-q', '-j2', '-x', skip, `/${packages}`]).catch(ignoreSyntax);
}

/** Some packages ship files for other versions of Python; compileall then ends with 1 and has compiled all others. */
function ignoreSyntax(error: unknown): void {
  if (!/SyntaxError|\*\*\*/.test(String(error))) throw error;
}
