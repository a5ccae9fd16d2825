/** Who holds a port: the socket's inode from /proc, then the process that has it open. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';

export interface PortHolderOptions {
  /** A process in whose network the port is, such as a container's first. Default: this host's. */
  readonly network?: number | undefined;
  readonly procRoot?: string;
}

/** `python3 (pid 1234)`, by this host's pids; null when nobody is found: another user's process, seen without root. */
export async function holderOfPort(
  port: number,
  protocol: 'tcp' | 'udp',
  { network, procRoot = '/proc' }: PortHolderOptions = {},
): Promise<string | null> {
  const inodes = new Set<string>();
  for (const table of tablesOf(protocol, network, procRoot)) {
    const text = await readFile(table, 'utf8').catch(() => '');
    for (const inode of inodesOf(text, port, protocol)) inodes.add(`socket:[${inode}]`);
  }
  if (inodes.size === 0) return null;
  for (const pid of await readdir(procRoot)) {
    if (!/^\d+$/.test(pid)) continue;
    // Processes end, and others' descriptors may not be read: both simply are not the holder that can be named.
    const descriptors = await readdir(`${procRoot}/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const target = await readlink(`${procRoot}/${pid}/fd/${descriptor}`).catch(() => '');
      if (!inodes.has(target)) continue;
      const read = (name: string): Promise<string> => readFile(`${procRoot}/${pid}/${name}`, 'utf8').catch(() => '');
      return `${programName(await read('cmdline'), await read('comm'))} (pid ${pid})`;
    }
  }
  return null;
}

/**
 * As a person knows it: by its command line, also where the program has written a title there (`nginx: master process`). What the kernel
 * calls it (`comm`) is the name of a thread: `MainThread` for every Node program.
 */
export function programName(cmdline: string, comm: string): string {
  const [command = ''] = cmdline.split('\0');
  const [word = ''] = command.trim().split(' ');
  const name = basename(word).replace(/:$/, '');
  return name || comm.trim() || 'a process';
}

/** Paths of the kernel's tables of sockets, as seen by `network`: every process has those of its own network. */
export function tablesOf(protocol: 'tcp' | 'udp', network?: number, procRoot = '/proc'): readonly string[] {
  const directory = network === undefined || network === 0 ? `${procRoot}/net` : `${procRoot}/${network}/net`;
  return [`${directory}/${protocol}`, `${directory}/${protocol}6`];
}

/** Lines of /proc/net/tcp: `sl local_address rem_address st … inode`; state 0A is LISTEN. */
export function inodesOf(table: string, port: number, protocol: 'tcp' | 'udp'): readonly string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(`:${wanted}`) === true && (protocol === 'udp' || columns[3] === '0A'))
    .flatMap((columns) => columns[9] ?? []);
}
