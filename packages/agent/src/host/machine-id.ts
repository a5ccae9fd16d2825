/**
 * Which machine this is. Two sources are combined: the installed system's id (/etc/machine-id), which a carelessly made
 * golden image copies to every clone, and the id of the (virtual) hardware, which is new for each clone but may be read by
 * root alone. Neither leaves the host unhashed: /etc/machine-id is confidential, says machine-id(5).
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MachineId } from '@relight/shared/machine';
import { replaceFileDurably } from './atomic-file.ts';

const systemFiles = ['etc/machine-id', 'var/lib/dbus/machine-id'];
const hardwareFiles = ['sys/class/dmi/id/product_uuid'];
const bootFile = 'proc/sys/kernel/random/boot_id';
/** What firmware writes when its maker did not care, and images that are meant to be initialised at first boot. */
const worthless = /^(?:uninitialized|[0f-]+|03000200-0400-0500-0006-000700080009|)$/;

/**
 * On a machine that has no id at all (a container, a small VM), the id of the boot in which it was first asked is kept in
 * the state directory: it outlives reboots with that directory, and within one boot is found again without it, as with `keep: false`.
 */
export function readMachineId(options: { readonly stateDir: string; readonly root?: string; readonly keep?: boolean }): MachineId {
  const root = options.root ?? '/';
  const first = (files: readonly string[]): string =>
    files.map((file) => readOr(join(root, file), '').trim().toLowerCase()).find((text) => !worthless.test(text)) ?? '';
  const hardware = first(hardwareFiles);
  const system = first(systemFiles) || (hardware === '' ? keptId(options.stateDir, join(root, bootFile), options.keep ?? true) : '');
  return `${hashed('system', system)}.${hashed('hardware', hardware)}`;
}

function hashed(kind: string, id: string): string {
  return id === '' ? '-' : createHash('sha256').update(`relight-machine|${kind}|${id}`).digest('hex').slice(0, 16);
}

function keptId(stateDir: string, boot: string, keep: boolean): string {
  const file = join(stateDir, 'machine-id');
  const kept = readOr(file, '').trim();
  if (kept !== '') return kept;
  const thisBoot = readOr(boot, '').trim();
  if (!keep && thisBoot !== '') return thisBoot;
  const id = thisBoot || randomUUID();
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  replaceFileDurably(file, `${id}\n`);
  return id;
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EPERM' || code === 'ENOTDIR') return otherwise;
    throw error;
  }
}
