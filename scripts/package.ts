/** `npm run package [-- --arch amd64,arm64] [--out DIR] [--version V]`: Debian packages and tarballs of agent and collector. */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { errorMessage } from '@relight/shared/errors';
import { formatBytes } from '@relight/shared/units';
import { MachineError } from '../test/support/engine-install.ts';
import { buildPackages } from './package/build-packages.ts';
import { type Architecture, architectures } from './package/node-runtime.ts';
import { root } from './run.ts';

const usage = 'usage: npm run package -- [--arch amd64,arm64] [--out DIR] [--version V]';
const known = Object.keys(architectures) as readonly Architecture[];
const here = known.find((name) => architectures[name] === process.arch);

class UsageError extends Error {}

function wanted(list: string | undefined): readonly Architecture[] {
  const names = list?.split(',') ?? (here === undefined ? [] : [here]);
  return names.map((name) => {
    const found = known.find((each) => each === name);
    if (found === undefined) throw new UsageError(`--arch: "${name}" is none of ${known.join(', ')}`);
    return found;
  });
}

function options(): Parameters<typeof buildPackages>[0] {
  const text = { type: 'string' } as const;
  let values;
  try {
    ({ values } = parseArgs({ options: { arch: text, out: text, version: text } }));
  } catch (error) {
    throw new UsageError(errorMessage(error), { cause: error });
  }
  const { version } = values;
  // Debian's own rule (deb-version): what else it holds, dpkg would refuse, or sort in surprising ways.
  if (version !== undefined && !/^\d[\w.+~]*$/.test(version))
    throw new UsageError(`--version: "${version}" is no version such as 1.2.3 or 1.2.3~rc1`);
  return {
    architectures: wanted(values.arch),
    out: resolve(values.out ?? join(root, 'dist')),
    ...(version === undefined ? {} : { version }),
  };
}

try {
  for (const file of await buildPackages(options())) console.log(`${file}  ${formatBytes((await stat(file)).size)}`);
} catch (error) {
  if (!(error instanceof UsageError || error instanceof MachineError)) throw error;
  console.error(`package: ${error.message}${error instanceof UsageError ? `\n${usage}` : ''}`);
  process.exitCode = 2;
}
