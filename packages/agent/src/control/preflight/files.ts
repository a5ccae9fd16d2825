/** Files, devices and directories of this host that the configuration relies on. Nothing is written. */
import { X509Certificate } from 'node:crypto';
import { access, constants, readFile, stat } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { certificateBytesMax, readBounded, tokenBytesMax } from '@relight/shared/bounded-read';
import { runChild } from '@relight/shared/child';
import { systemClock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import { readEnvFiles } from '../../config/secrets.ts';
import type { AgentSpec, ContainerSpec, WorkloadSpec } from '../../config/spec.ts';
import { hostPrograms } from './commands.ts';
import { checkRoom } from './disk.ts';
import { error, ok, warning, type Finding } from '@relight/shared/finding';

const lookMs = 3_000;

export async function checkCredentials(spec: AgentSpec): Promise<readonly Finding[]> {
  const tokenFile = spec.collector?.tokenFile ?? null;
  const caFile = spec.collector?.caFile ?? null;
  const envFiles = [...new Set(spec.workloads.flatMap((workload) => workload.container.envFile))];
  const found = await Promise.all([
    ...(tokenFile === null ? [] : [checkFile('token_file', tokenFile, notEmpty, true)]),
    ...(caFile === null ? [] : [checkFile('ca_file', caFile, certificate, false)]),
    ...envFiles.map((file) => checkFile('env_file', file, envFile, true)),
  ]);
  return found.flat();
}

/** Nothing to say where its owner alone may write it, for its commands run as root, and not every user may read it. */
export async function checkConfigFile(file: string): Promise<readonly Finding[]> {
  const { mode, uid } = await stat(file);
  const owner = uid === 0 || uid === process.getuid?.() ? '' : `it belongs to another user (uid ${uid})`;
  const trouble = (mode & 0o022) === 0 ? owner : 'others than its owner may write it';
  return [
    ...(trouble === '' ? [] : [warning(`${file}: ${trouble}, and its commands run as root`, `chown root ${file}; chmod go-w ${file}`)]),
    ...((mode & 0o004) === 0
      ? []
      : [warning(`${file} can be read by every user of this host: variables and commands in it may hold secrets`, `chmod o-r ${file}`)]),
  ];
}

async function checkFile(field: string, file: string, look: (file: string) => Promise<void>, secret: boolean): Promise<readonly Finding[]> {
  try {
    await look(file);
    const { mode } = await stat(file);
    if (secret && (mode & 0o007) !== 0) return [warning(`${field} ${file} is open to every user of this host`, `chmod 600 ${file}`)];
    return [ok(`${field} ${file} is readable`)];
  } catch (thrown) {
    const { code, cause } = thrown as NodeJS.ErrnoException;
    const known = reasons[code ?? ''] ?? reasons[(cause as NodeJS.ErrnoException | undefined)?.code ?? ''];
    return [
      error(`${field} ${file}: ${known ?? errorMessage(thrown)}`, `Put the file there, readable for the agent, or correct ${field}.`),
    ];
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

async function notEmpty(file: string): Promise<void> {
  if (String(await readBounded(file, tokenBytesMax)).trim() === '') throw new Error('it is empty');
}

async function certificate(file: string): Promise<void> {
  const { validTo } = new X509Certificate(await readBounded(file, certificateBytesMax));
  if (Date.parse(validTo) < Date.now()) throw new Error(`the certificate ran out at ${validTo}`);
}

async function envFile(file: string): Promise<void> {
  await readEnvFiles([file]);
}

export async function checkStateDir(stateDir: string): Promise<readonly Finding[]> {
  let directory = stateDir;
  for (;;) {
    const found = await stat(directory).catch((thrown: NodeJS.ErrnoException) => thrown);
    if (!(found instanceof Error)) {
      if (!found.isDirectory()) return [error(`state_dir ${stateDir}: ${directory} is not a directory`, 'Correct state_dir.')];
      break;
    }
    const parent = dirname(directory);
    if (parent === directory) return [error(`state_dir ${stateDir}: ${found.message}`, 'Correct state_dir.')];
    directory = parent;
  }
  try {
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (thrown) {
    return [
      error(`state_dir ${stateDir} cannot be written: ${errorMessage(thrown)}`, 'Run the agent as root, or choose another state_dir.'),
    ];
  }
  return [await checkRoom(`state_dir ${stateDir} is writable`, directory)];
}

export async function checkHostPaths(workload: WorkloadSpec): Promise<readonly Finding[]> {
  const { name, container } = workload;
  const binds = container.volumes.filter((volume) => volume.type === 'bind');
  const found = await Promise.all([
    ...binds.map(async ({ source }) => {
      const state = await look(source);
      if (state === 'there') return ok(`${name}: ${source} exists`);
      if (state === 'hung')
        return error(`${name}: ${source} does not answer`, 'A dead mount is below it: umount -f -l it, or mount it again.');
      return warning(
        `${name}: ${source} does not exist; the engine will make an empty directory of it`,
        `mkdir -p ${source}, or correct volumes.`,
      );
    }),
    ...container.devices.map(async ({ source }) => {
      if ((await look(source)) === 'there') return ok(`${name}: ${source} exists`);
      return error(
        `${name}: the device ${source} does not exist on this host`,
        source === '/dev/fuse' ? 'modprobe fuse' : 'Load its driver, or correct devices.',
      );
    }),
  ]);
  return [...found, ...(await checkFuse(workload)), ...(await checkGpus(workload))];
}

/**
 * In a child, which can be left behind: a look at a path below a dead network or FUSE file system may never come back, and
 * would hold a thread of ours for ever.
 */
async function look(path: string): Promise<'there' | 'absent' | 'hung'> {
  const { exitCode, timedOut, spawnError } = await runChild({ argv: ['test', '-e', path], clock: systemClock, timeoutMs: lookMs });
  if (spawnError !== null) throw new Error(`test cannot be started: ${spawnError}`);
  if (timedOut) return 'hung';
  return exitCode === 0 ? 'there' : 'absent';
}

/** Inside a container FUSE takes the device, the capability, and no AppArmor profile in the way. */
async function checkFuse({ name, mounts, container }: WorkloadSpec): Promise<readonly Finding[]> {
  if (mounts.length === 0) return [];
  const findings: Finding[] = [];
  const tell = mounts.some((mount) => mount.type === 'gcsfuse') ? error : warning;
  if ((await look('/dev/fuse')) !== 'there')
    findings.push(tell(`${name}: mounts need /dev/fuse, which this host does not have`, 'modprobe fuse'));
  if (!container.privileged) {
    findings.push(...fuseRights(name, container, tell));
    const apparmor = await readFile('/sys/module/apparmor/parameters/enabled', 'utf8').catch(() => 'N');
    if (apparmor.startsWith('Y') && !container.securityOpt.some((option) => /^apparmor[=:]unconfined$/.test(option))) {
      findings.push(warning(`${name}: AppArmor keeps containers from mounting`, 'Add security_opt: [apparmor=unconfined].'));
    }
  }
  return findings.length === 0 ? [ok(`${name}: the container may mount FUSE file systems`)] : findings;
}

function fuseRights(name: string, container: ContainerSpec, tell: typeof error): readonly Finding[] {
  const hasDevice = container.devices.some(({ target }) => target === '/dev/fuse');
  const mayMount = container.capAdd.some((cap) => /^(CAP_)?(SYS_ADMIN|ALL)$/i.test(cap));
  return [
    ...(hasDevice ? [] : [tell(`${name}: mounts need /dev/fuse in the container`, 'Add devices: [/dev/fuse], or privileged: true.')]),
    ...(mayMount ? [] : [tell(`${name}: mounts need the capability SYS_ADMIN`, 'Add cap_add: [SYS_ADMIN], or privileged: true.')]),
  ];
}

async function checkGpus({ name, container }: WorkloadSpec): Promise<readonly Finding[]> {
  if (container.gpus === undefined) return [];
  if ((await look('/dev/nvidiactl')) === 'there') return [ok(`${name}: this host has the NVIDIA driver`)];
  return [
    error(
      `${name}: gpus needs the NVIDIA driver (/dev/nvidiactl), which this host does not have`,
      'Install the driver and the NVIDIA Container Toolkit, or remove gpus.',
    ),
  ];
}

export async function checkHostPrograms(spec: AgentSpec, path: string): Promise<readonly Finding[]> {
  return Promise.all(
    hostPrograms(spec).map(async ({ where, program, optional }) => {
      const candidates = program.includes('/') ? [program] : path.split(delimiter).map((directory) => join(directory, program));
      for (const candidate of candidates) {
        const runs = await access(candidate, constants.X_OK).then(
          () => true,
          () => false,
        );
        if (runs) return ok(`${where}: ${program} is ${candidate}`);
      }
      return (optional ? warning : error)(
        `${where}: the program ${program} is not on this host (PATH ${path})`,
        `Install ${program}, or write its path.`,
      );
    }),
  );
}
