/** Gives the space of a byte range back to the file system while the file keeps its offsets (`fallocate --punch-hole`, util-linux: Node has no such call). */
import { spawn } from 'node:child_process';

/** Resolves when the space is free. Rejects when the file system or the host cannot do it. */
export type PunchHole = (descriptor: number, offset: number, length: number) => Promise<void>;

const deadlineMs = 30_000;

/** The file is handed over as a descriptor: no path is resolved a second time. Needs the right to write to it. */
export const punchHole: PunchHole = (descriptor, offset, length) =>
  new Promise((resolve, reject) => {
    const child = spawn('fallocate', ['--punch-hole', '--offset', String(offset), '--length', String(length), '/proc/self/fd/3'], {
      stdio: ['ignore', 'ignore', 'pipe', descriptor],
      timeout: deadlineMs,
      killSignal: 'SIGKILL',
    });
    let output = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(0, 500)));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(output.trim() || `fallocate ended with ${code ?? signal}`));
    });
  });
