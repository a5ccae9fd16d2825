/** What is mounted below a directory of the tests' own: with it there, the directory cannot be removed. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Innermost first. Paths as /proc/self/mountinfo escapes them. */
export function mountsBelow(directory: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8))),
    )
    .filter((path) => path.startsWith(`${directory}/`))
    .toReversed();
}

/** Also what is in use. Another run may be at the same: what is unmounted in the end is all that counts. */
export function unmountBelow(directory: string): void {
  for (const mount of mountsBelow(directory)) {
    try {
      execFileSync('umount', ['-l', mount], { stdio: 'pipe' });
    } catch (error) {
      if (mountsBelow(directory).includes(mount)) throw error;
    }
  }
}
