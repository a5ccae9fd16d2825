/** Takes away everything that a private engine leaves on the machine, also when it was killed. */
import { readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deleteBridge, deleteNetworkBridges } from './engine-network.ts';
import { unmountBelow } from './mounts.ts';
import { listProcesses, signalProcess } from './processes.ts';
import { waitFor } from './wait.ts';

/** dockerd must have ended. Kills what runs in its containers, their shims and containerd, unmounts, deletes. */
export async function cleanDirectory(directory: string): Promise<void> {
  const containers = namesIn(join(directory, 'data', 'containers'));
  const isOurs = ({ cmdline, cgroup }: { cmdline: readonly string[]; cgroup: string }): boolean =>
    cmdline.some((word) => word.includes(`${directory}/`)) || containers.some((id) => cgroup.includes(id));
  await waitFor(
    () => {
      const left = listProcesses().filter((found) => found.pid !== process.pid && isOurs(found));
      for (const { pid, cgroup } of left) {
        signalProcess(pid, 'SIGKILL');
        thaw(cgroup);
      }
      return left.length === 0;
    },
    { timeoutMs: 60_000, everyMs: 50, what: `all processes of ${directory} to end` },
  );
  unmountBelow(directory);
  const bridge = readIfThere(join(directory, 'bridge'));
  if (bridge !== undefined) await deleteBridge(bridge);
  const networks = readIfThere(join(directory, 'data/network/files/local-kv.db'), 'latin1');
  if (networks !== undefined) await deleteNetworkBridges(networks);
  for (const id of containers) removeControlGroups(id);
  await rm(directory, { recursive: true, force: true, maxRetries: 5 });
}

/** A process that is frozen (`docker pause`) under cgroup v1 hears of its killing when it is thawed. */
function thaw(cgroup: string): void {
  const path = /^\d+:freezer:(\/.*docker.*)$/m.exec(cgroup)?.[1];
  const state = `/sys/fs/cgroup/freezer${path ?? ''}/freezer.state`;
  if (path !== undefined && readIfThere(state)?.trim() === 'FROZEN') writeFileSync(state, 'THAWED');
}

/** What dockerd leaves in the kernel of a container that fell with it; by the container's id, which nobody else has. */
function removeControlGroups(id: string): void {
  const root = '/sys/fs/cgroup';
  for (const hierarchy of ['', ...namesIn(root)]) removeEmpty(join(root, hierarchy, 'docker', id));
}

/** A control group goes when those within it have gone. One that is still in use stays. */
function removeEmpty(group: string): void {
  try {
    for (const entry of readdirSync(group, { withFileTypes: true })) if (entry.isDirectory()) removeEmpty(join(group, entry.name));
    rmdirSync(group);
  } catch {
    // Not there, most often.
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function readIfThere(path: string, encoding: BufferEncoding = 'utf8'): string | undefined {
  try {
    return readFileSync(path, encoding);
  } catch {
    return undefined;
  }
}
