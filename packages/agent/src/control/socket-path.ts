import { RelightError } from '@relight/shared/errors';
import { createHash } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { defaults } from '../config/defaults.ts';

/** Of what is gone after a boot. Made by the agent: systemd would remove it with the service that stops, and with it the sockets of other agents. */
export const runtimeDir = '/run/relight';

/** For the agent's own user. */
export const controlSocketPath = (stateDir: string): string => join(stateDir, 'control.sock');

/** For the group of `control.group`; known without a look into the state directory, which its members may not enter. */
export const groupSocketPath = (stateDir: string, runDir = runtimeDir): string => {
  const which = stateDir === defaults.stateDir ? '' : `-${createHash('sha256').update(stateDir).digest('hex').slice(0, 16)}`;
  return join(runDir, `control${which}.sock`);
};

/** sun_path of unix(7): 108 bytes with the final NUL. */
const pathBytesMax = 107;

/**
 * A name of the socket that the kernel accepts: a long path is reached through its directory's descriptor. Dispose when
 * bind or connect is done.
 */
export function shortSocketPath(path: string): Disposable & { readonly path: string } {
  if (Buffer.byteLength(path) <= pathBytesMax) return { path, [Symbol.dispose]: () => {} };
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  const short = `/proc/self/fd/${directory}/${basename(path)}`;
  if (Buffer.byteLength(short) > pathBytesMax) {
    closeSync(directory);
    throw new RelightError('config-invalid', `the name of the socket ${path} is too long`, {
      advice: 'Give a state directory with a shorter path.',
    });
  }
  return { path: short, [Symbol.dispose]: () => closeSync(directory) };
}
