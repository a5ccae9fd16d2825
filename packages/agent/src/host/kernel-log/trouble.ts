/** What else the kernel says about a host that is in trouble: file systems, disks, hung tasks, hardware. Pure. One line, one fact. */
import type { Severity } from '@relight/shared/event';

export interface TroubleFact {
  readonly kind: 'trouble';
  /** The name of the condition. */
  readonly name: string;
  readonly subject: string;
  readonly severity: Severity;
  readonly reason: string;
  readonly advice: string;
  /** How long it is true after it was said last; `boot`: until the machine boots, or until `mount` shows otherwise. */
  readonly lastsMs: number | 'boot';
}

interface Rule {
  readonly pattern: RegExp;
  readonly name: string;
  readonly severity: Severity;
  readonly lastsMs: number | 'boot';
  readonly advice: string;
}

const minute = 60_000;
const hour = 60 * minute;
const advice = {
  readOnly: 'Nothing can be written there any more: drain the host, check the disk and reboot, or replace it.',
  disk: 'Save what matters and replace the disk or the host if it repeats; see dmesg and smartctl.',
  gone: 'The disk is lost until a reboot: replace the disk or the host.',
  hung: 'Look what it waits for (/proc/PID/stack): usually a disk, a network file system or a driver. A reboot helps when it stays.',
  hardware: 'Look at the machine’s event log (ipmitool sel list, ras-mc-ctl --errors) and replace the host if it repeats.',
  kernel: 'Drain the host and reboot it; keep dmesg for a report.',
};

/** `(?<subject>…)` is what it is about. The first rule that fits counts. */
const rules: readonly Rule[] = [
  {
    // ext4, f2fs · btrfs · xfs
    pattern:
      /^(?:EXT[234]-fs|F2FS-fs) \((?<subject>[^)]+)\): Remounting filesystem read-only|^BTRFS.*\(device (?<subject2>\S+?)(?: state \S+)?\).*forced readonly|^XFS \((?<subject3>[^)]+)\): .*(?:[Ss]hutting down filesystem|Filesystem has been shut down|xfs_do_force_shutdown)|^EXT4-fs \((?<subject4>[^)]+)\): shut down requested/,
    name: 'read-only-filesystem',
    severity: 'critical',
    lastsMs: 'boot',
    advice: advice.readOnly,
  },
  {
    pattern:
      /^(?:EXT[234]-fs|F2FS-fs) error \(device (?<subject>[^)]+)\)|^BTRFS(?:: error| error| critical) \(device (?<subject2>\S+?)(?: state \S+)?\)|^XFS \((?<subject3>[^)]+)\): (?:Metadata corruption|Corruption|log I\/O error|metadata I\/O error)|^Aborting journal on device (?<subject4>\S+?)(?:-\d+)?\.?$/,
    name: 'filesystem-errors',
    severity: 'error',
    lastsMs: hour,
    advice: advice.disk,
  },
  {
    pattern:
      /^nvme (?<subject>nvme\d+): (?:Removing after probe failure|Disabling device after reset failure|Device not ready; aborting (?:reset|initialisation))/,
    name: 'nvme-lost',
    severity: 'critical',
    lastsMs: 'boot',
    advice: advice.gone,
  },
  {
    pattern: /^nvme (?<subject>nvme\d+): (?:I\/O (?:tag )?\d+.*timeout|controller is down; will reset|resetting controller|Abort status)/,
    name: 'nvme-reset',
    severity: 'error',
    lastsMs: 30 * minute,
    advice: advice.disk,
  },
  {
    pattern: /(?:I\/O|critical medium|critical target|Buffer I\/O) error,? (?:on )?dev (?<subject>[\w-]+)/,
    name: 'disk-errors',
    severity: 'error',
    lastsMs: hour,
    advice: advice.disk,
  },
  {
    // One for all of them: a disk that hangs takes a hundred processes along.
    pattern: /^INFO: task .{1,32}:\d{1,10} blocked for more than \d+ seconds/,
    name: 'hung-task',
    severity: 'warning',
    // The kernel says it again every two minutes, at most ten times (hung_task_warnings).
    lastsMs: 10 * minute,
    advice: advice.hung,
  },
  {
    pattern: /(?:soft|hard) lockup - CPU#(?<subject>\d+)|rcu_\w+ (?:self-)?detected stalls?|rcu: INFO: rcu_\w+ (?:self-)?detected/,
    name: 'cpu-stall',
    severity: 'error',
    lastsMs: 10 * minute,
    advice: advice.kernel,
  },
  {
    pattern: /^BUG: |^kernel BUG at |^Oops: |^general protection fault|^Internal error: Oops/,
    name: 'kernel-oops',
    severity: 'error',
    lastsMs: 'boot',
    advice: advice.kernel,
  },
  {
    pattern:
      /\[Hardware Error\]: event severity: (?:fatal|recoverable)|\[Hardware Error\]: .*(?:Uncorrected|Machine Check Exception)|^EDAC (?<subject>\w+): \d+ UE |AER: .*(?:Uncorrected|Uncorrectable)|^Memory failure: /i,
    name: 'hardware-error',
    severity: 'error',
    lastsMs: 6 * hour,
    advice: advice.hardware,
  },
  {
    pattern: /^mce: \[Hardware Error\]|^EDAC (?<subject>\w+): \d+ CE /,
    name: 'hardware-corrected',
    severity: 'warning',
    lastsMs: hour,
    advice: advice.hardware,
  },
];

/** Most lines are none of this: asked first, on every line of a busy log. */
const anyOf = new RegExp(rules.map(({ pattern }) => pattern.source.replaceAll(/\(\?<\w+>/g, '(?:')).join('|'), 'i');

export function parseTrouble(text: string): TroubleFact | null {
  if (!anyOf.test(text)) return null;
  for (const { pattern, name, severity, lastsMs, advice: what } of rules) {
    const match = pattern.exec(text);
    if (match === null) continue;
    const subject = Object.values(match.groups ?? {}).find((value) => value !== undefined) ?? '';
    return { kind: 'trouble', name, subject, severity, reason: `the kernel says: ${text.slice(0, 300)}`, advice: what, lastsMs };
  }
  return null;
}
