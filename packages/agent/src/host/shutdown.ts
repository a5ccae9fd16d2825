import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';

const deadlineMs = 1_000;

/** Whether systemd is taking the machine down. Without systemd, or without an answer in time: no. */
export function machineGoesDown(): Promise<boolean> {
  if (!existsSync('/run/systemd/system')) return Promise.resolve(false);
  return new Promise((resolve) => {
    // Its exit code is not 0 for every state but "running"; only the word counts.
    execFile('systemctl', ['is-system-running'], { timeout: deadlineMs }, (_error, stdout) => resolve(stdout.trim() === 'stopping'));
  });
}
