/**
 * A bridge of its own for each private engine. Engines that share `docker0` or write the host's packet filter break each
 * other: every daemon resets the chains that all of them share. So: our own bridge device with an address range of its own,
 * no packet filter at all, and published ports through the engine's userland proxy. Two flags that suggest themselves must
 * not be given, because they make dockerd delete `docker0`: `--bridge=none`, and `--default-address-pool` (at its second start).
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { findProgram } from './engine-install.ts';
import { isGone, ownerText } from './owned-directory.ts';

const run = promisify(execFile);
const firstOctets = '10.231';
/** Of each device, its alias among them, which is for whoever has made it. */
const devices = '/sys/class/net';

export interface EngineNetwork {
  readonly bridge: string;
  /** Flags of dockerd. */
  readonly flags: readonly string[];
  dispose(): Promise<void>;
}

/** Creating the device is the reservation: two engines that start at once cannot get the same number. */
export async function createEngineNetwork(): Promise<EngineNetwork> {
  for (let attempt = 0; attempt < 256; attempt += 1) {
    const number = (process.pid + attempt) % 256;
    const bridge = `relight${number}`;
    const created = await ip('link', 'add', 'name', bridge, 'type', 'bridge').then(
      () => true,
      (error: unknown) => {
        if (/exists/i.test(String(error))) return false;
        throw error;
      },
    );
    if (!created) continue;
    ownDevice(bridge);
    await ip('addr', 'add', `${firstOctets}.${number}.1/24`, 'dev', bridge);
    await ip('link', 'set', bridge, 'up');
    await packetFilter('-I', bridge);
    return {
      bridge,
      flags: [`--bridge=${bridge}`, '--iptables=false', '--ip6tables=false', '--ip-masq=false', '--ip-forward=false'],
      dispose: () => deleteBridge(bridge),
    };
  }
  throw new Error('no free bridge number for a private engine: 256 devices relight0 … relight255 exist');
}

export async function deleteBridge(bridge: string): Promise<void> {
  await packetFilter('-D', bridge);
  await ip('link', 'del', bridge).catch((error: unknown) => {
    if (!/cannot find|can't find|does not exist|no such device/i.test(String(error))) throw error;
  });
}

/** Processes of another one have numbers of their own: whether they live nobody can tell from here. */
const pidNamespace = (): string => readlinkSync('/proc/self/ns/pid');

/** Its directory may be gone before it is: then the device itself says whose it was. */
function ownDevice(device: string): void {
  try {
    writeFileSync(`${devices}/${device}/ifalias`, `relight ${ownerText()} ${pidNamespace()}`);
  } catch {
    // A machine whose /sys is read-only: then only the directory tells.
  }
}

/** Bridges of engines whose owner is gone. Those of an engine that has a directory still go with it. */
export async function deleteAbandonedBridges(): Promise<void> {
  for (const device of readdirSync(devices).filter((name) => /^relight\d+$/.test(name))) {
    const [, owner, namespace] = /^relight (\d+ \d+) (\S+)$/m.exec(readIfThere(`${devices}/${device}/ifalias`)) ?? [];
    if (owner !== undefined && namespace === pidNamespace() && isGone(owner)) await deleteBridge(device);
  }
}

/** The bridges of the networks that an engine has ever been told to make; most are gone. Pure. `store`: its file `local-kv.db`. */
function networkBridges(store: string): readonly string[] {
  const ids = store.matchAll(/docker\/network\/v1\.0\/bridge\/([0-9a-f]{12})[0-9a-f]{52}/g);
  return [...new Set([...ids].map(([, id]) => `br-${id}`))];
}

/** Those of them that are there. */
export async function deleteNetworkBridges(store: string): Promise<void> {
  const there = new Set(readdirSync(devices));
  for (const bridge of networkBridges(store)) if (there.has(bridge)) await deleteBridge(bridge);
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/**
 * Where another engine has set the machine's filter to drop what it forwards, packets between containers of one bridge are
 * dropped, too. One rule of our own, gone with the bridge; a machine without iptables has no such filter.
 */
async function packetFilter(change: '-I' | '-D', bridge: string): Promise<void> {
  const iptables = findProgram('iptables');
  if (iptables === undefined) return;
  const rule = ['FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT'];
  // Adding fails where the kernel has no such table, deleting where the rule is gone: both are as good as done.
  await run(iptables, ['-w', '5', change, ...rule]).catch(() => {});
}

/** busybox-static is installed anyway, iproute2 may not be. */
const ip = (...args: string[]): Promise<unknown> => run('busybox', ['ip', ...args]);
