/** What somebody finds who looks for open doors of a host: the collector's port, and the agent's socket for root. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { readConfig } from '@relight/collector/config';
import { expect, inject, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { startLab } from '../support/lab.ts';
import { listProcesses, parentPid } from '../support/processes.ts';

/** Inodes of the sockets that a process holds. One that ends meanwhile holds none. */
function socketsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []);
  } catch {
    return [];
  }
}

/** With everything that it has started on this host, but not with what runs in containers: that is the engine's. */
function family(root: number): readonly number[] {
  const pids = listProcesses().map(({ pid }) => pid);
  const known = new Set([root]);
  for (let before = 0; before < known.size;) {
    before = known.size;
    for (const pid of pids) if (known.has(parentPid(pid) ?? 0)) known.add(pid);
  }
  return [...known];
}

const rows = (table: string): readonly (readonly string[])[] =>
  readFileSync(`/proc/net/${table}`, 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/));

const listens = '0A';
const accepts = 0x1_0000;

/** Addresses as the kernel writes them, and paths. */
function doorsOf(root: number): { readonly tcp: readonly string[]; readonly udp: readonly string[]; readonly unix: readonly string[] } {
  const inodes = new Set(family(root).flatMap(socketsOf));
  const internet = (tables: readonly string[], isOpen: (state: string) => boolean): readonly string[] =>
    tables.flatMap((table) =>
      rows(table).flatMap(([, local = '', , state = '', , , , , , inode = '']) => (inodes.has(inode) && isOpen(state) ? [local] : [])),
    );
  return {
    tcp: internet(['tcp', 'tcp6'], (state) => state === listens),
    udp: internet(['udp', 'udp6'], () => true),
    unix: rows('unix').flatMap(([, , , flags = '0', , , inode = '', path = '']) =>
      inodes.has(inode) && (Number.parseInt(flags, 16) & accepts) !== 0 ? [path] : [],
    ),
  };
}

test('the collector listens on its port of this host alone, the agent on its socket alone', async () => {
  await using lab = await startLab({ engineSocket: inject('engineSocket') });
  const worker = await Bystander.ready(lab, 'listening', inject('engineImage'), { process: { run: 'exec sleep infinity' } });
  const { service, stateDir } = worker.agent;
  const [agent = 0, collector = 0] = [service.pid, lab.collector.pid];
  expect(Math.min(agent, collector)).toBeGreaterThan(1);

  const port = Number(new URL(lab.url).port).toString(16).toUpperCase().padStart(4, '0');
  expect(doorsOf(collector)).toEqual({ tcp: [`0100007F:${port}`], udp: [], unix: [] });
  expect(readConfig(null).listen).toEqual({ host: '127.0.0.1', port: 7460 });

  const doors = doorsOf(agent);
  expect({ tcp: doors.tcp, udp: doors.udp }).toEqual({ tcp: [], udp: [] });
  // By the name that it was made under: it is renamed when it is complete.
  expect(doors.unix).toEqual([expect.stringMatching(/control\.sock\.new$/)]);
  const socket = lstatSync(join(stateDir, 'control.sock'));
  expect([socket.isSocket(), socket.mode & 0o777, lstatSync(stateDir).mode & 0o777]).toEqual([true, 0o600, 0o700]);
});
