/** Lays out what a package installs, below one directory. */
import { chmod, cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Bundles } from '../build.ts';
import { root } from '../run.ts';
import { completion, shells } from './completions.ts';
import { copyright, packagesOf } from './licences.ts';
import { manPage } from './man-page.ts';
import { type Architecture, architectures, nodeRuntime } from './node-runtime.ts';
import type { Product } from './products.ts';
import { programOf } from './programs.ts';

export interface TreeOptions {
  readonly product: Product;
  readonly version: string;
  readonly architecture: Architecture;
  /** Of the sources, in seconds. */
  readonly epoch: number;
  readonly bundles: Bundles;
  /** Source folder of a product → where its bundles are. */
  readonly dist: (source: string) => string;
}

/** Where things are found: of Debian's packages, and of what a person unpacks into /usr/local. */
export type Layout = 'debian' | 'local';
const prefixes = { debian: '/usr', local: '/usr/local' } as const;
const places = {
  debian: { zsh: 'share/zsh/vendor-completions', units: 'lib/systemd/system' },
  local: { zsh: 'share/zsh/site-functions', units: 'lib/systemd/system' },
} as const;

/** `prefix` is the directory that becomes /usr or /usr/local. */
export async function layOut(prefix: string, layout: Layout, options: TreeOptions): Promise<void> {
  const { product, architecture, bundles, dist, version, epoch } = options;
  const sources = join(root, 'packages', product.source);
  const library = join('lib', product.name);
  const node = await nodeRuntime(architecture);
  await copy(join(node, 'bin/node'), join(prefix, library, 'node'), 0o755);
  for (const name of product.programs) {
    await copy(join(dist(product.source), `${name}.mjs`), join(prefix, library, `${name}.mjs`));
    await write(join(prefix, 'bin', name), launcher(library, name), 0o755);
    const program = programOf(name, version);
    const seeAlso = product.programs.filter((other) => other !== name).map((other) => `${other}(1)`);
    const page = manPage({ program, version, date: new Date(epoch * 1_000), files: product.files, seeAlso: [...seeAlso, 'systemctl(1)'] });
    await write(join(prefix, 'share/man/man1', `${name}.1`), page);
    const completions = {
      bash: `share/bash-completion/completions/${name}`,
      zsh: `${places[layout].zsh}/_${name}`,
      fish: `share/fish/vendor_completions.d/${name}.fish`,
    };
    for (const shell of shells) await write(join(prefix, completions[shell]), completion(shell, program));
  }
  for (const name of product.native)
    await copyNative(join(dist(product.source), 'node_modules', name), join(prefix, library, 'node_modules', name), architecture);
  const unit = (await readFile(join(sources, 'systemd', `${product.name}.service`), 'utf8')).replaceAll(
    '/usr/bin/',
    `${prefixes[layout]}/bin/`,
  );
  await write(join(prefix, places[layout].units, `${product.name}.service`), unit);
  const documentation = join(prefix, 'share/doc', product.name);
  await cp(join(sources, 'examples'), join(documentation, 'examples'), { recursive: true });
  // Examples and messages name pages of it, and the host at hand may reach no other copy.
  await cp(join(root, 'docs'), join(documentation, 'docs'), { recursive: true });
  await copy(join(root, 'README.md'), join(documentation, 'README.md'));
  const beside = product.native.map((name) => join(sources, 'node_modules', name));
  const packages = [...packagesOf(product.programs.flatMap((name) => bundles[`${name}.mjs`] ?? [])), ...beside];
  await write(join(documentation, 'copyright'), await copyright({ name: product.name, packages, node }));
}

/** Found beside it wherever it was unpacked; the shell's place is taken by Node, so a service keeps its pid. */
const launcher = (library: string, name: string): string => `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/../${library}/node" "$here/../${library}/${name}.mjs" "$@"
`;

/** Without its sources and other machines' binaries. */
async function copyNative(from: string, to: string, architecture: Architecture): Promise<void> {
  await cp(from, to, { recursive: true });
  await rm(join(to, 'build'), { recursive: true, force: true });
  const own = `linux-${architectures[architecture]}.node`;
  for (const file of await readdir(join(to, 'prebuilds'))) if (file !== own) await rm(join(to, 'prebuilds', file));
  await stat(join(to, 'prebuilds', own));
}

export async function write(file: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  await chmod(file, mode);
}

async function copy(from: string, to: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await cp(from, to);
  await chmod(to, mode);
}
