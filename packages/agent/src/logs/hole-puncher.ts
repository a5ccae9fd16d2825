/** Gives the space of a byte range back to the file system while the file keeps its offsets (`fallocate --punch-hole`, util-linux: Node has no such call). */
import { spawn } from 'node:child_process';

/** The file system or the host can never do it; whatever else goes wrong may go right the next time. */
export class HolesUnsupportedError extends Error {}

/** Resolves when the space is free. Rejects with HolesUnsupportedError, or with what went wrong this once. */
export type PunchHole = (descriptor: number, offset: number, length: number) => Promise<void>;

const deadlineMs = 30_000;
/**
 * In the words of the C library and of util-linux's lib/fileutils (EOPNOTSUPP, ENOSYS), and of a fallocate without the option, such as
 * BusyBox's.
 */
const unsupported = /not supported|mode is unsupported|not implemented|(?:unrecognized|unknown|invalid) option/i;

/** The file is handed over as a descriptor: no path is resolved a second time. Needs the right to write to it. */
export const punchHole: PunchHole = (descriptor, offset, length) =>
  new Promise((resolve, reject) => {
    const child = spawn('fallocate', ['--punch-hole', '--offset', String(offset), '--length', String(length), '/proc/self/fd/3'], {
      stdio: ['ignore', 'ignore', 'pipe', descriptor],
      // Its messages are read.
      env: { ...process.env, LC_ALL: 'C' },
      timeout: deadlineMs,
      killSignal: 'SIGKILL',
    });
    let output = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(0, 500)));
    child.on('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? new HolesUnsupportedError('there is no fallocate (util-linux) on this host') : error),
    );
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else if (unsupported.test(output)) reject(new HolesUnsupportedError(output.trim()));
      else reject(new Error(output.trim() || `fallocate ended with ${code ?? signal}`));
    });
  });
