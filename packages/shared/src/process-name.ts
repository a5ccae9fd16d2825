/** What `ps -o comm`, `top`, `pgrep` and the kernel's own messages call this process. */
import { writeFileSync } from 'node:fs';

/**
 * Node calls every program's first thread `MainThread`, and so do they. Not by `process.title`, which writes over the arguments: they
 * are what `ps args` and `pgrep -f` show. The kernel keeps 15 characters.
 */
export function nameProcess(name: string, file = '/proc/self/comm'): void {
  try {
    writeFileSync(file, name, { flag: 'r+' });
  } catch {
    // Another kernel, or no /proc: it works as well under the other name.
  }
}
