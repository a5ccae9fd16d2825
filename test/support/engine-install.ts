/** What the tests need on the machine, installed from the distribution where that is possible. */
import { execFile } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Program → the Debian packages that bring it. */
const needed: Readonly<Record<string, readonly string[]>> = {
  dockerd: ['docker.io'],
  busybox: ['busybox-static'],
  bindfs: ['bindfs'],
  fusermount3: ['fuse3'],
  gcc: ['gcc', 'libc6-dev'],
};
const folders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Absolute path of a program, or undefined. /usr/sbin counts although it is often missing from PATH. */
export function findProgram(name: string): string | undefined {
  return [...new Set([...(process.env['PATH'] ?? '').split(':'), ...folders])]
    .filter((folder) => folder !== '')
    .map((folder) => `${folder}/${name}`)
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Makes sure that `programs` exist and returns what was installed; throws with the exact command a person needs otherwise. */
export async function ensurePrograms(programs: readonly string[]): Promise<readonly string[]> {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length === 0) return [];
  const packages = missing.flatMap((program) => needed[program] ?? [program]);
  const isRoot = process.getuid?.() === 0;
  const command = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (!isRoot || !isDebian()) {
    throw new Error(
      `missing: ${missing.join(', ')}. ${isDebian() ? `As root: ${command}` : `Install ${packages.join(' ')} (names of Debian)`}`,
    );
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update'], { env });
  await run('apt-get', ['install', '-y', '--no-install-recommends', ...packages], { env, maxBuffer: 64 << 20 });
  const still = missing.filter((program) => findProgram(program) === undefined);
  if (still.length > 0) throw new Error(`${still.join(', ')} still missing after: ${command}`);
  return packages;
}

function isDebian(): boolean {
  try {
    return /^ID(?:_LIKE)?=.*(?:debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}
