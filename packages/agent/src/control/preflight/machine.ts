/** What this machine itself does that works against a recovery. Nothing is changed; each finding says what a person may change. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentSpec } from '../../config/spec.ts';
import { error, warning, type Finding } from '@relight/shared/finding';

export interface PreflightHost {
  /** '/' is the machine's own; a test has another one. */
  readonly root: string;
  /** Of whoever runs the check; null where there are none. */
  readonly uid: number | null;
}

export const thisHost: PreflightHost = { root: '/', uid: process.getuid?.() ?? null };

export async function checkMachine(spec: AgentSpec, { root, uid }: PreflightHost): Promise<readonly Finding[]> {
  return [
    ...(uid === null || uid === 0
      ? []
      : [warning(`this check runs as user ${uid}; the agent has to run as root`, 'Repeat it as root: sudo relight-agent check …')]),
    ...(await unattendedUpgrades(root)),
    ...(await fileLimits(spec, root)),
  ];
}

/** It installs drivers, kernels and engines by itself, and restarts what uses them. */
async function unattendedUpgrades(root: string): Promise<readonly Finding[]> {
  const directory = join(root, 'etc/apt/apt.conf.d');
  const names = (await readdir(directory).catch((): string[] => [])).toSorted();
  let on = false;
  for (const name of names) {
    const text = await readFile(join(directory, name), 'utf8').catch(() => '');
    // Later files win, as apt reads them.
    for (const [, value] of text.matchAll(/^\s*APT::Periodic::Unattended-Upgrade\s+"(\w+)"/gm)) on = value !== '0';
  }
  if (!on) return [];
  return [
    warning(
      'unattended-upgrades is on: it may replace the driver, the kernel or the engine under running workloads',
      'systemctl disable --now unattended-upgrades apt-daily-upgrade.timer. The host gate waits while it works.',
    ),
  ];
}

/** The kernel refuses more, also to root: "error setting rlimits: operation not permitted". */
async function fileLimits(spec: AgentSpec, root: string): Promise<readonly Finding[]> {
  const text = await readFile(join(root, 'proc/sys/fs/nr_open'), 'utf8').catch(() => '');
  const max = Number(text.trim());
  if (text.trim() === '' || !Number.isFinite(max)) return [];
  return spec.workloads.flatMap(({ name, container: { ulimits } }) => {
    const hard = ulimits['nofile']?.hard ?? 0;
    if (hard <= max) return [];
    return [
      error(`${name}: the limit nofile ${hard} is above what the kernel allows (${max})`, `sysctl fs.nr_open=${hard}, or a lower ulimit.`),
    ];
  });
}
