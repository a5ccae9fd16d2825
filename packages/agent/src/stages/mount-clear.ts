/** Takes dead, hung or foreign FUSE mounts off a target, however many are stacked there. */
import { delay } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { runChild } from '@relight/shared/child';
import { throwIfAborted } from './context.ts';
import { lastLine } from './output.ts';
import { fuseOnTop, type MountEntry, readMountinfo } from './proc.ts';
import type { StageContext } from './stage.ts';

const commandTimeoutMs = 5_000;
/** For all that is stacked there; what is not gone by then needs a new container. */
const clearMsMax = 15_000;
const pauseMs = 50;

/** In the container, whatever of these it has. `-f` also aborts the connection, `-l` takes even a busy mount off the tree. */
const unmountScript = 'umount -f -l "$1" || umount -l "$1" || fusermount3 -u -z "$1" || fusermount -u -z "$1"';

/**
 * `broken`: the mount on top does not answer. Its connection is then aborted, which fails everything that waits for it.
 * Only FUSE mounts are ever touched, and nothing below the first other one. Fails with mount-stuck.
 */
export async function clearMount(target: string, containerPid: number, broken: boolean, context: StageContext): Promise<void> {
  const { clock, signal } = context;
  const deadline = clock.monotonic() + clearMsMax;
  const look = (): MountEntry | null => fuseOnTop(readMountinfo('/proc', containerPid) ?? [], target);
  const top = look();
  if (top !== null && broken) await abortConnection(top, context);
  let said = '';
  for (let mount = top; mount !== null; mount = look()) {
    throwIfAborted(signal);
    if (clock.monotonic() > deadline) {
      throw new RelightError('mount-stuck', `${target}: the ${mount.fsType} mount cannot be removed${said === '' ? '' : `: ${said}`}`, {
        data: { target },
      });
    }
    said = await unmount(target, containerPid, context);
    if (said !== '') await delay(clock, pauseMs, signal).catch(() => throwIfAborted(signal));
  }
}

/**
 * Writes to fusectl, in a mount namespace of the child's own so that nothing is left behind where the host has it not
 * mounted. Without success the unmount with -f does the same, more slowly.
 */
async function abortConnection(mount: MountEntry, { clock, signal }: StageContext): Promise<void> {
  const connection = mount.device.split(':')[1] ?? '';
  // fuseblk has a real device number, which is no connection.
  if (mount.fsType === 'fuseblk' || !mount.device.startsWith('0:')) return;
  const script =
    'cd /sys/fs/fuse/connections && { [ -e "$1/abort" ] || { mount -t fusectl fusectl . && cd /sys/fs/fuse/connections; }; } && echo 1 > "$1/abort"';
  await runChild({
    argv: ['unshare', '-m', '--', 'sh', '-c', script, 'relight-abort', connection],
    clock,
    timeoutMs: commandTimeoutMs,
    signal,
  });
}

/** '' when something says that it worked. The host's rights suffice where the container's own do not. */
async function unmount(target: string, containerPid: number, { engine, containerId, clock, signal }: StageContext): Promise<string> {
  const argv = ['sh', '-c', unmountScript, 'relight-umount', target] as const;
  const child = await runChild({
    argv: ['nsenter', '-t', String(containerPid), '-m', '--', ...argv],
    clock,
    timeoutMs: commandTimeoutMs,
    signal,
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  if (child.exitCode === 0) return '';
  if (containerId === null) return lastLine(child.stderr);
  const { exitCode, stderr } = await engine.exec(containerId, { argv, user: '0' }, { timeoutMs: commandTimeoutMs, signal });
  return exitCode === 0 ? '' : lastLine(stderr) || `exit code ${exitCode}`;
}
