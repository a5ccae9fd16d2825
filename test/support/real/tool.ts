/** Programs that take minutes and say much: quiet when they succeed, their last lines in the error when they do not. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { persistently } from '../persistently.ts';

const run = promisify(execFile);

/** Registries and compilers on a slow machine; more than that is a hang. */
const timeoutMs = 20 * 60_000;

export async function tool(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<string> {
  try {
    const { stdout } = await run(program, args, { ...options, maxBuffer: 64 << 20, timeout: timeoutMs });
    return stdout;
  } catch (error) {
    const { stdout = '', stderr = '', code } = error as { stdout?: string; stderr?: string; code?: unknown };
    const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-15).join('\n');
    throw new Error(`${program} ${args.slice(0, 3).join(' ')} … ended with ${String(code)}:\n${said}`, { cause: error });
  }
}

/** Installs from PyPI into a directory, for Debian 12's Python 3.11 whatever Python this machine has. */
export function pipInstall(target: string, ...what: readonly string[]): Promise<string> {
  const platforms = [
    'manylinux_2_17',
    'manylinux2014',
    'manylinux_2_24',
    'manylinux_2_27',
    'manylinux_2_28',
    'manylinux_2_31',
    'manylinux_2_34',
  ];
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const args = [
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '--no-compile',
    '--only-binary=:all:',
    '--python-version=3.11',
    ...platforms.map((platform) => `--platform=${platform}_${machine}`),
    `--target=${target}`,
    ...what,
  ];
  // It comes to `target` when all of it is there.
  return persistently(`pip install ${what.join(' ')}`, () => tool('pip3', args));
}
