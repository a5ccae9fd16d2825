import { RelightError } from '@relight/shared/errors';
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export const controlSocketPath = (stateDir: string): string => join(stateDir, 'control.sock');

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
    throw new RelightError('config-invalid', `the name of the socket ${path} is too long`);
  }
  return { path: short, [Symbol.dispose]: () => closeSync(directory) };
}
