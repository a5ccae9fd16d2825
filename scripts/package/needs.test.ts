/** On which machines the packages run, by the binaries in them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../run.ts';
import { dependsOn, gccFor, needsBelow, needsOf } from './needs.ts';
import { nodeRuntime } from './node-runtime.ts';

const sqlite = join(root, 'packages/collector/node_modules/better-sqlite3/prebuilds');

test('what a binary asks the linker for is found in it; a name without an end, or behind other text, is none', () => {
  const text = ['\x7fELF', 'GLIBC_2.2.5', 'GLIBC_2.34', 'GLIBC_2.4', 'GLIBC_PRIVATE', 'GLIBCXX_3.4.29', 'GLIBCXX_3.4.9', ''].join('\0');
  expect(needsOf(Buffer.from(text, 'latin1'))).toEqual({ glibc: [2, 34], glibcxx: [3, 4, 29] });
  expect(needsOf(Buffer.from('GLIBC_2.99 is not known\0'))).toEqual({ glibc: [], glibcxx: [] });
  expect(() => gccFor([3, 4, 99])).toThrow('GLIBCXX_3.4.99');
});

test('install.md says for both packages what their binaries ask for', async () => {
  const node = await nodeRuntime('amd64');
  const inWords = async (...directories: string[]): Promise<string> => {
    const { glibc, glibcxx } = await needsBelow(...directories);
    return `glibc ${glibc.join('.')} and libstdc++ ${gccFor(glibcxx)}`;
  };
  const page = readFileSync(join(root, 'docs/install.md'), 'utf8').replaceAll(/\s+/g, ' ');
  expect(page).toContain(`The agent runs on any Linux with ${await inWords(node)} or newer`);
  expect(page).toContain(`the collector asks for ${await inWords(node, sqlite)}`);
  expect(dependsOn(await needsBelow(node))).toEqual(['libc6 (>= 2.28)', 'libgcc-s1 | libgcc1', 'libstdc++6 (>= 8)']);
});
