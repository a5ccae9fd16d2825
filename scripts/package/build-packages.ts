/** Both packages, for each processor, as Debian package and as tarball. */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePrograms } from '../../test/support/engine-install.ts';
import { buildAll } from '../build.ts';
import { root } from '../run.ts';
import { debianPackage, tarball } from './archive.ts';
import { addControl } from './debian.ts';
import type { Architecture } from './node-runtime.ts';
import { products } from './products.ts';
import { layOut } from './tree.ts';

export interface BuildOptions {
  readonly architectures: readonly Architecture[];
  /** Where the files appear. */
  readonly out: string;
  /** Default: that of package.json. */
  readonly version?: string;
  /** Default: both. */
  readonly formats?: readonly ('deb' | 'tarball')[];
}

/** @returns the files that were made */
export async function buildPackages({
  architectures,
  out,
  version = '',
  formats = ['deb', 'tarball'],
}: BuildOptions): Promise<readonly string[]> {
  await ensurePrograms(['dpkg-deb', 'tar', 'gzip']);
  const epoch = sourceDate();
  const number = version === '' ? await ownVersion() : version;
  await mkdir(out, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), 'relight-package-'));
  const made: string[] = [];
  /** It appears when it is whole. */
  const appear = async (name: string, make: (file: string) => Promise<void>): Promise<void> => {
    const beside = join(out, `.${process.pid}-${name}`);
    try {
      await make(beside);
      await rename(beside, join(out, name));
    } finally {
      await rm(beside, { force: true });
    }
    made.push(join(out, name));
  };
  try {
    // Of their own: what runs from the sources' dist goes on, and the number is the packages'.
    const dist = (pkg: string): string => join(work, 'dist', pkg);
    const bundles = await buildAll({ version: number, into: dist });
    for (const architecture of architectures) {
      for (const product of products) {
        const options = { product, version: number, architecture, epoch, bundles, dist };
        const tree = join(work, `${product.name}-${architecture}`);
        if (formats.includes('deb')) {
          await layOut(join(tree, 'usr'), 'debian', options);
          await addControl(tree, options);
          await appear(`${product.name}_${number}_${architecture}.deb`, (file) => debianPackage({ tree, file, epoch }));
          await rm(tree, { recursive: true });
        }
        if (formats.includes('tarball')) {
          await layOut(tree, 'local', options);
          const name = `${product.name}-${number}-linux-${architecture}`;
          await appear(`${name}.tar.gz`, (file) => tarball({ tree, file, epoch, name }));
          await rm(tree, { recursive: true });
        }
      }
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return made;
}

async function ownVersion(): Promise<string> {
  return (JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly version: string }).version;
}

/** Of the sources, in seconds: SOURCE_DATE_EPOCH (reproducible-builds.org), else the last commit's. */
function sourceDate(): number {
  const given = process.env['SOURCE_DATE_EPOCH'] ?? '';
  const text = given === '' ? lastCommit() : given;
  if (!/^\d+$/.test(text))
    throw new Error(`the date of the sources is not known: set SOURCE_DATE_EPOCH to seconds since 1970 (it is "${text}")`);
  return Number(text);
}

/** In seconds; empty where there is no history, or no git. */
export function lastCommit(): string {
  try {
    // Also where the checkout belongs to somebody else than who builds.
    return execFileSync('git', ['-c', 'safe.directory=*', 'log', '-1', '--format=%ct'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return '';
  }
}
