/** A reboot that the distribution asks for, or that somebody has scheduled. Read from files; nothing is executed. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface RebootRequired {
  /** When it was asked for, epoch milliseconds by the wall clock. */
  readonly since: number;
  /** Packages that ask for it; empty when they do not say. */
  readonly packages: readonly string[];
}

/** Debian's and Ubuntu's flag. Null: no reboot is asked for. */
export function readRebootRequired(root = '/'): RebootRequired | null {
  for (const directory of ['run', 'var/run']) {
    const flag = join(root, directory, 'reboot-required');
    const stat = statSync(flag, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    const packages = (readIfThere(`${flag}.pkgs`) ?? '').split('\n').filter((name) => name.trim() !== '');
    return { since: stat.mtimeMs, packages: [...new Set(packages)] };
  }
  return null;
}

export interface ScheduledShutdown {
  /** Epoch milliseconds by the wall clock. */
  readonly at: number;
  /** `reboot`, `kexec`, `poweroff`, `halt` … */
  readonly mode: string;
}

/** What `shutdown -r +10` leaves for systemd-logind. Null: nothing is scheduled, or only a rehearsal. */
export function readScheduledShutdown(root = '/'): ScheduledShutdown | null {
  return parseScheduled(readIfThere(join(root, 'run/systemd/shutdown/scheduled')) ?? '');
}

export function parseScheduled(text: string): ScheduledShutdown | null {
  const usec = Number(/^USEC=(\d+)$/m.exec(text)?.[1]);
  const mode = /^MODE=([\w-]+)$/m.exec(text)?.[1];
  if (!Number.isFinite(usec) || mode === undefined || mode.startsWith('dry-')) return null;
  return { at: Math.round(usec / 1_000), mode };
}

export const isReboot = (mode: string): boolean => mode === 'reboot' || mode === 'kexec' || mode === 'soft-reboot';

/** The file pam_nologin shows, while the machine goes down. The same file stands there early in a boot, with other words. */
export function saysGoingDown(root = '/'): boolean {
  return /going (?:down|to be)|shut(?:ting)?[ -]?down|reboot|power(?:ing)?[ -]?off|halt/i.test(
    readIfThere(join(root, 'run/nologin')) ?? '',
  );
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
