/** `npm run bench -- NAME [ARG …]`: builds the bundles and runs one benchmark of test/bench. Each prints ratios, never only times. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { suggest } from '@relight/shared/suggest';
import { buildAll } from './build.ts';
import { root } from './run.ts';

const directory = join(root, 'test', 'bench');
const names = (await readdir(directory)).filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3));
const [name, ...args] = process.argv.slice(2);

if (name === undefined || !names.includes(name)) {
  const near = name === undefined ? undefined : suggest(name, names);
  const complaint =
    name === undefined ? 'which benchmark?' : `there is no benchmark "${name}"${near === undefined ? '' : `; did you mean "${near}"?`}`;
  console.error(`bench: ${complaint}\nusage: npm run bench -- ${names.join('|')}`);
  process.exitCode = 2;
} else {
  await buildAll();
  const bench = (await import(join(directory, `${name}.ts`))) as { run(args: readonly string[]): Promise<void> };
  await bench.run(args);
}
