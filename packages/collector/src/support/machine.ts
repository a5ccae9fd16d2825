/** The machine, as far as it can be told without its disks. */
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, freemem, hostname, loadavg, release, totalmem, type, uptime } from 'node:os';
import { isoTime } from '@relight/shared/api';
import { told } from './part.ts';

export function machineFacts(version: string, now: number): unknown {
  return {
    collector: version,
    node: process.version,
    at: isoTime(now),
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    // Whoever made the bundle: not root, and not the account of the service, sees less.
    uid: process.geteuid?.() ?? null,
    host: hostname(),
    os: told(() => /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? null),
    kernel: `${type()} ${release()}`,
    arch: arch(),
    cpus: availableParallelism(),
    load: loadavg(),
    memoryBytes: totalmem(),
    memoryFreeBytes: freemem(),
    uptimeSeconds: Math.round(uptime()),
  };
}
