/** What makes a directory a Debian package: control, maintainer scripts, checksums. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../run.ts';
import { dependsOn, needsBelow } from './needs.ts';
import type { Product } from './products.ts';
import { type TreeOptions, write } from './tree.ts';

const maintainer = 'Relight <relight@example.invalid>';

/** `tree` is laid out already; DEBIAN/, /etc and the first configuration are added. */
export async function addControl(tree: string, { product, version, architecture }: TreeOptions): Promise<void> {
  await mkdir(join(tree, 'etc/relight'), { recursive: true });
  const sources = join(root, 'packages', product.source);
  if (product.configuration !== null) {
    const first = join(tree, 'usr/share', product.name, product.configuration);
    await write(first, await readFile(join(sources, 'examples', product.configuration), 'utf8'));
  }
  const files = (await readdir(tree, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(join(tree, 'DEBIAN')))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  await write(join(tree, 'DEBIAN/md5sums'), (await Promise.all(files.map((file) => checksum(tree, file)))).join(''));
  const kilobytes = sizes.reduce((sum, size) => sum + Math.ceil(size / 1024), 0);
  const depends = [...dependsOn(await needsBelow(join(tree, 'usr/lib'))), ...product.depends];
  await write(join(tree, 'DEBIAN/control'), control({ ...product, depends }, version, architecture, kilobytes));
  for (const script of ['preinst', 'postinst', 'prerm', 'postrm']) {
    await write(join(tree, 'DEBIAN', script), await readFile(join(sources, 'debian', script), 'utf8'), 0o755);
  }
}

function control(product: Product, version: string, architecture: string, kilobytes: number): string {
  const { name, depends, recommends, summary, description } = product;
  const fields = {
    Package: name,
    Version: version,
    Architecture: architecture,
    Maintainer: maintainer,
    'Installed-Size': String(kilobytes),
    Depends: depends.join(', '),
    Recommends: recommends.join(', '),
    Section: 'admin',
    Priority: 'optional',
    Description: [summary, ...description.map((line) => ` ${line}`)].join('\n'),
  };
  return Object.entries(fields)
    .map(([field, value]) => `${field}: ${value}\n`)
    .join('');
}

/** dpkg's own form: `dpkg --verify` reads it. */
async function checksum(tree: string, file: string): Promise<string> {
  const digest = createHash('md5')
    .update(await readFile(file))
    .digest('hex');
  return `${digest}  ${file.slice(tree.length + 1)}\n`;
}
