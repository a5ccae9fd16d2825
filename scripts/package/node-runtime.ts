/** The Node that a package carries: the one that this repository pins, for the package's own processor. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { persistently } from '../../test/support/persistently.ts';
import { cached } from '../../test/support/real/cache.ts';
import { tool } from '../../test/support/real/tool.ts';
import { root } from '../run.ts';

/** By Debian's name of the processor: Node's own. */
export const architectures = { amd64: 'x64', arm64: 'arm64' } as const;
export type Architecture = keyof typeof architectures;

/** Directory of the npm package `node-linux-*`: bin/node, LICENSE. */
export async function nodeRuntime(architecture: Architecture): Promise<string> {
  const name = `node-linux-${architectures[architecture]}`;
  const installed = join(root, 'node_modules', name);
  // pnpm installs the one for this machine alone.
  if (await exists(join(installed, 'bin/node'))) return installed;
  const { version, integrity } = await locked(name);
  const directory = await cached(`${name}-${version}`, async (to) => {
    await mkdir(to, { recursive: true });
    const archive = join(to, `${name}-${version}.tgz`);
    await persistently(`npm pack ${name}@${version}`, async () => {
      await tool('npm', ['pack', `${name}@${version}`, '--silent', '--pack-destination', to]);
      const found = `sha512-${await sha512(archive)}`;
      if (found !== integrity)
        throw new Error(`${name}@${version} from the registry is not what pnpm-lock.yaml names: ${found}, not ${integrity}`);
    });
    await tool('tar', ['-xzf', archive, '-C', to]);
  });
  return join(directory, 'package');
}

async function locked(name: string): Promise<{ readonly version: string; readonly integrity: string }> {
  const lock = parse(await readFile(join(root, 'pnpm-lock.yaml'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly resolution: { readonly integrity: string } }>>;
  };
  const found = Object.entries(lock.packages).find(([key]) => key.startsWith(`${name}@`));
  if (found === undefined) throw new Error(`pnpm-lock.yaml does not name ${name}`);
  return { version: found[0].slice(name.length + 1), integrity: found[1].resolution.integrity };
}

async function sha512(file: string): Promise<string> {
  const hash = createHash('sha512');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('base64');
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
