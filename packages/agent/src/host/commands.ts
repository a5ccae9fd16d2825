/** What runs on this host, as far as its command lines tell: for a person who asks who it is that keeps doing something. */
import { readdir, readFile } from 'node:fs/promises';
import type { HostCommand } from '../engine/container-owner.ts';

/** Processes that end meanwhile, and those of other users without root, are left out. */
export async function hostCommands(procRoot = '/proc'): Promise<readonly HostCommand[]> {
  const pids = (await readdir(procRoot)).filter((name) => /^\d+$/.test(name));
  const found: HostCommand[] = [];
  for (const pid of pids) {
    const argv = (await readFile(`${procRoot}/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0').slice(0, -1);
    if (argv.length === 0) continue;
    const cgroup = await readFile(`${procRoot}/${pid}/cgroup`, 'utf8').catch(() => '');
    found.push({ pid: Number(pid), argv, cgroup: cgroup.trim().split('\n').at(-1) ?? '' });
  }
  return found;
}
