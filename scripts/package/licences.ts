/** What is in a package and under which terms, in Debian's machine-readable form (copyright-format 1.0). */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../run.ts';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly homepage?: string;
  readonly author?: string | { readonly name?: string };
}

/** Directories of the npm packages that the files of a bundle come from, as esbuild names them. */
export function packagesOf(inputs: readonly string[]): readonly string[] {
  const directories = inputs.flatMap((input) => {
    const at = input.lastIndexOf('node_modules/');
    if (at < 0) return [];
    const [scope = '', name = ''] = input.slice(at + 'node_modules/'.length).split('/');
    const own = scope.startsWith('@') ? `${scope}/${name}` : scope;
    return [join(root, input.slice(0, at), 'node_modules', own)];
  });
  return [...new Set(directories)].toSorted();
}

export interface CopyrightOptions {
  readonly name: string;
  /** As `packagesOf` gives them, and others whose files are in the package. */
  readonly packages: readonly string[];
  /** Of the npm package that holds Node, with its LICENSE. */
  readonly node: string;
}

/** @throws where a package does not say its terms */
export async function copyright({ name, packages, node }: CopyrightOptions): Promise<string> {
  const parts = await Promise.all(packages.map(part));
  return [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/',
    'Upstream-Name: relight',
    '',
    'Files: *',
    'Copyright: the authors of Relight',
    'License: Apache-2.0',
    ' On Debian systems the whole text stands in /usr/share/common-licenses/Apache-2.0;',
    ' otherwise at https://www.apache.org/licenses/LICENSE-2.0.',
    'Comment: The programs hold the npm packages named below, each under its own terms.',
    '',
    `Files: */lib/${name}/node`,
    'Copyright: Node.js contributors, and the authors of what Node.js holds',
    'License: Node',
    indented(await readFile(join(node, 'LICENSE'), 'utf8')),
    '',
    ...parts.toSorted(),
  ]
    .join('\n')
    .concat('\n');
}

async function part(directory: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest;
  const { name, version, license, author } = manifest;
  const file = (await readdir(directory)).toSorted().find((entry) => /^(?:licen[cs]e|copying)(?:[.-]|$)/i.test(entry));
  if (license === undefined && file === undefined) throw new Error(`${name}@${version} does not say under which terms it may be given on`);
  const text = file === undefined ? `As ${name}'s package.json says: ${license}.` : await readFile(join(directory, file), 'utf8');
  const holders = text.match(/^\W*copyright\b.*\d.*$/gim)?.map((line) => line.trim()) ?? [];
  const named = typeof author === 'string' ? author : author?.name;
  return [
    `Files: ${name}@${version}`,
    `Copyright: ${holders.join('\n ') || (named ?? `the authors of ${name}`)}`,
    `License: ${license ?? 'as below'} (${name})`,
    indented(text),
    '',
  ].join('\n');
}

/** Of a field: one space before each line, a dot on empty ones. */
function indented(text: string): string {
  return text
    .trim()
    .split(/\r?\n/)
    .map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`))
    .join('\n');
}
