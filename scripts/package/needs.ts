/** Which C and C++ libraries the binaries of a package need: read out of them, for what is written by hand is wrong after the next upgrade. */
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Versions, as `[2, 34]`. */
type Version = readonly number[];

export interface Needs {
  readonly glibc: Version;
  /** The symbols of libstdc++: `GLIBCXX_3.4.29`. */
  readonly glibcxx: Version;
}

/** From which GCC on libstdc++ has these symbols (https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html); older ones are everywhere. */
const gccOf = new Map([
  [25, 8],
  [26, 9],
  [27, 9],
  [28, 10],
  [29, 11],
  [30, 12],
  [31, 13],
  [32, 13],
  [33, 14],
  [34, 15],
]);
const oldestGcc = 8;

/** Of Debian's control file. */
export function dependsOn({ glibc, glibcxx }: Needs): string[] {
  return [`libc6 (>= ${glibc.join('.')})`, 'libgcc-s1 | libgcc1', `libstdc++6 (>= ${gccFor(glibcxx)})`];
}

/** Throws for symbols that this page does not know. */
export function gccFor(glibcxx: Version): number {
  const [, , minor = 0] = glibcxx;
  if (minor < 25) return oldestGcc;
  const gcc = gccOf.get(minor);
  if (gcc === undefined) throw new Error(`a binary needs GLIBCXX_${glibcxx.join('.')}: say in scripts/package/needs.ts which GCC has it`);
  return gcc;
}

/** Of all ELF files below these directories, together. */
export async function needsBelow(...directories: readonly string[]): Promise<Needs> {
  const listed = await Promise.all(directories.map((directory) => readdir(directory, { recursive: true, withFileTypes: true })));
  const files = listed.flat().filter((entry) => entry.isFile());
  let needs: Needs = { glibc: [2, 17], glibcxx: [3, 4] };
  for (const { parentPath, name } of files) {
    const file = join(parentPath, name);
    if (!(await isElf(file))) continue;
    const found = needsOf(await readFile(file));
    needs = { glibc: later(needs.glibc, found.glibc), glibcxx: later(needs.glibcxx, found.glibcxx) };
  }
  return needs;
}

async function isElf(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.equals(Buffer.from('\x7fELF'));
  } finally {
    await handle.close();
  }
}

/** By the names of versions that stand in it: every one that the linker asks for does. */
export function needsOf(binary: Buffer): Needs {
  return { glibc: latest(binary, 'GLIBC_'), glibcxx: latest(binary, 'GLIBCXX_') };
}

function latest(binary: Buffer, prefix: string): Version {
  let found: Version = [];
  for (let at = binary.indexOf(prefix); at !== -1; at = binary.indexOf(prefix, at + prefix.length)) {
    const text = binary.toString('latin1', at + prefix.length, at + prefix.length + 16);
    const [version] = /^\d+(?:\.\d+)+(?=\0)/.exec(text) ?? [];
    if (version !== undefined) found = later(found, version.split('.').map(Number));
  }
  return found;
}

function later(a: Version, b: Version): Version {
  for (let i = 0; i < Math.max(a.length, b.length); i += 1) {
    const order = (a[i] ?? 0) - (b[i] ?? 0);
    if (order !== 0) return order > 0 ? a : b;
  }
  return a;
}
