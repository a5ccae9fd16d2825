/** What demo and tests need on the machine, installed from the distribution where that is possible. */
import { execFile } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { persistently } from './persistently.ts';
import { waitFor } from './wait.ts';

const run = promisify(execFile);

/** Program → the Debian packages that bring it. */
const needed: Readonly<Record<string, readonly string[]>> = {
  dockerd: ['docker.io'],
  'docker-compose': ['docker-compose'],
  busybox: ['busybox-static'],
  bindfs: ['bindfs'],
  fusermount3: ['fuse3'],
  gcc: ['gcc', 'libc6-dev'],
  debootstrap: ['debootstrap', 'debian-archive-keyring'],
  pip3: ['python3-pip'],
  'mkfs.ext4': ['e2fsprogs'],
  e2fsck: ['e2fsprogs'],
  systemctl: ['systemd'],
  shutdown: ['systemd-sysv'],
  'dbus-daemon': ['dbus'],
  'dpkg-deb': ['dpkg'],
};
export const enginePrograms: readonly string[] = ['dockerd', 'busybox'];
export const imagePrograms: readonly string[] = ['busybox', 'bindfs', 'fusermount3'];
/** fuse-mute is compiled on the spot. */
export const testImagePrograms: readonly string[] = [...imagePrograms, 'gcc'];
/** What single files of the integration tests want besides: a whole run has it before it begins, and installs nothing under its tests. */
export const singleFilePrograms: readonly string[] = ['mkfs.ext4', 'e2fsck', 'systemctl', 'shutdown', 'dbus-daemon'];
/** Who wants a private engine. */
export const ownEngine = 'a Docker Engine of its own';

const folders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
/** Another installation may be at work: the machine's own updates, or a second run of ours. */
const lockTimeoutMs = 10 * 60_000;

const installLock = join(tmpdir(), 'relight-install.lock');

/** The machine lacks something that only a person can give it; the message says what, and how. */
export class MachineError extends Error {}

interface Machine {
  readonly platform: NodeJS.Platform;
  readonly isRoot: boolean;
  /** Whether apt-get brings the packages. */
  readonly isDebian: boolean;
}

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

/** What a person must do before `programs` can be had, undefined: nothing. `root`: why the caller needs root whatever is missing. */
export function obstacle(missing: readonly string[], machine: Machine, root?: string): string | undefined {
  if (machine.platform !== 'linux') return `this needs Linux, with FUSE and cgroups; this machine runs ${machine.platform}`;
  const byHand = machine.isDebian
    ? `As root: ${aptCommand(missing)}`
    : `Install them; in Debian they come with ${packagesOf(missing).join(' ')}`;
  const lacks = missing.length === 0 ? '' : `missing: ${missing.join(', ')}. ${byHand}`;
  if (root !== undefined && !machine.isRoot)
    return [`${root} needs root: start this as root`, lacks].filter((part) => part !== '').join('; ');
  return lacks !== '' && !(machine.isRoot && machine.isDebian) ? lacks : undefined;
}

/** Makes sure that `programs` exist; throws a MachineError before anything is touched where that is up to a person. */
export async function ensurePrograms(programs: readonly string[], root?: string): Promise<void> {
  const missing = [...new Set(programs)].filter((program) => findProgram(program) === undefined);
  const wrong = obstacle(missing, { platform: process.platform, isRoot: process.getuid?.() === 0, isDebian: isDebian() }, root);
  if (wrong !== undefined) throw new MachineError(wrong);
  if (missing.length === 0) return;
  console.error(`relight: installing ${packagesOf(missing).join(' ')} …`);
  await persistently(`installing ${packagesOf(missing).join(' ')}`, async () => {
    await apt('update');
    await apt('install', '-y', '--no-install-recommends', ...packagesOf(missing));
  });
  const still = missing.filter((program) => findProgram(program) === undefined);
  if (still.length > 0) throw new Error(`${still.join(', ')} still missing after: ${aptCommand(missing)}`);
}

/**
 * Packages of the distribution below `directory`, unpacked and not installed: no account is made, no service started, and nothing of the
 * machine changes. Without what they depend on. Throws a MachineError where the machine has no apt-get, or is not ours to ask.
 */
export async function unpackPackages(directory: string, ...packages: readonly string[]): Promise<void> {
  await ensurePrograms(['dpkg-deb']);
  if (!isDebian() || process.getuid?.() !== 0) throw new MachineError(`${packages.join(' and ')} come from Debian: this needs root on it`);
  console.error(`relight: downloading ${packages.join(' ')} …`);
  const downloads = await mkdtemp(join(tmpdir(), 'relight-debs-'));
  try {
    await persistently(`downloading ${packages.join(' ')}`, async () => {
      await apt('update');
      await aptIn(downloads, 'download', ...packages);
    });
    await mkdir(directory, { recursive: true });
    for (const file of await readdir(downloads)) await run('dpkg-deb', ['-x', join(downloads, file), directory]);
  } finally {
    await rm(downloads, { recursive: true, force: true });
  }
}

const packagesOf = (programs: readonly string[]): readonly string[] => programs.flatMap((program) => needed[program] ?? [program]);
const aptCommand = (programs: readonly string[]): string =>
  `apt-get update && apt-get install -y --no-install-recommends ${packagesOf(programs).join(' ')}`;

/**
 * In a session of its own: Ctrl-C would leave a package half configured. One at a time: where apt drops its downloads after each
 * installation, as in the images of Debian, one installation takes another's packages away before they are unpacked.
 */
async function apt(...args: readonly string[]): Promise<void> {
  return aptIn('/', ...args);
}

async function aptIn(cwd: string, ...args: readonly string[]): Promise<void> {
  const options = { cwd, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }, maxBuffer: 64 << 20 };
  await waitFor(
    async () => {
      try {
        await run('setsid', ['--wait', 'flock', installLock, findProgram('apt-get') ?? 'apt-get', ...args], options);
        return true;
      } catch (error) {
        if (/could not get lock|unable to (?:acquire|lock)|cannot access archive/i.test(String(error))) return false;
        throw error;
      }
    },
    { timeoutMs: lockTimeoutMs, everyMs: 1_000, what: 'another installation to let go of the package lists' },
  );
}

function isDebian(): boolean {
  try {
    return /^ID(?:_LIKE)?=.*(?:debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}
