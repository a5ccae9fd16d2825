/**
 * A bridge of its own for each private engine. Engines that share `docker0` or write the host's packet filter break each
 * other: every daemon resets the chains that all of them share. So: our own bridge device with an address range of its own,
 * no packet filter at all, and published ports through the engine's userland proxy. Two flags that suggest themselves must
 * not be given, because they make dockerd delete `docker0`: `--bridge=none`, and `--default-address-pool` (at its second start).
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findProgram } from './engine-install.ts';

const run = promisify(execFile);
const firstOctets = '10.231';

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
