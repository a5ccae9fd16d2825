/**
 * The kernel's side of an exec that is frozen half begun: it alone goes on and is frozen again with the others, which do not move meanwhile.
 * Without an engine: a process that calls itself what runc does stands for the exec. cgroup v1 where this machine has it, v2 always.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { letFrozenExecsBegin } from '@relight/agent/host/frozen-execs';
import { systemClock } from '@relight/shared/clock';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../support/wait.ts';

const id = randomBytes(32).toString('hex');
const v1Root = '/sys/fs/cgroup/freezer';

interface Version {
  readonly root: () => string;
  readonly file: string;
  readonly frozen: string;
  readonly thawed: string;
}

let v2Mount = '';
const versions: Readonly<Record<string, Version>> = {
  ...(existsSync(v1Root) ? { v1: { root: () => v1Root, file: 'freezer.state', frozen: 'FROZEN', thawed: 'THAWED' } } : {}),
  v2: { root: () => v2Mount, file: 'cgroup.freeze', frozen: '1', thawed: '0' },
};

beforeAll(() => {
  // A second mount of the one v2 hierarchy: on a machine of v1 there is none.
  v2Mount = mkdtempSync(join(tmpdir(), 'relight-cgroup2-'));
  execFileSync('mount', ['-t', 'cgroup2', 'none', v2Mount]);
});
afterAll(() => {
  execFileSync('umount', [v2Mount]);
  rmdirSync(v2Mount);
});

const comm = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
describe.each(Object.entries(versions))('cgroup %s', (_, { root, file, frozen, thawed }) => {
  const parent = (): string => join(root(), `relight-test-${process.pid}`);
  const container = (): string => join(parent(), id);
  const children: ChildProcess[] = [];

  beforeAll(() => mkdirSync(container(), { recursive: true }));
  afterAll(async () => {
    writeFileSync(join(container(), file), thawed);
    for (const child of children) child.kill('SIGKILL');
    await waitFor(() => readFileSync(join(container(), 'cgroup.procs'), 'utf8') === '', { what: 'the cgroup to be empty' });
    rmdirSync(container());
    rmdirSync(parent());
  });

  /** Goes on when it is told so. */
  async function inside(name: string, then: string): Promise<{ readonly pid: number; goOn(): void }> {
    const child = spawn('sh', ['-c', `printf '${name}' > /proc/$$/comm; read line; ${then}`], { stdio: ['pipe', 'ignore', 'ignore'] });
    children.push(child);
    const pid = child.pid ?? 0;
    await waitFor(() => comm(pid) === name, { what: `${name} to be there` });
    writeFileSync(join(container(), 'cgroup.procs'), String(pid));
    return { pid, goOn: () => child.stdin.write('go on\n') };
  }

  /** With v1 it is FREEZING until the last one stands still, also when one comes in later. */
  const isFrozen = async (): Promise<void> => {
    const state = (): string => readFileSync(join(container(), file), 'utf8').trim();
    await waitFor(() => state() === frozen, { what: 'the container to be frozen' });
  };
  const freeze = (): Promise<void> => {
    writeFileSync(join(container(), file), frozen);
    return isFrozen();
  };

  test('it begins, and stands frozen with the others again', async () => {
    const other = await inside('others', 'exec sleep 1000');
    const beginning = await inside('runc:[2:INIT]', 'exec sleep 1000');
    await freeze();
    other.goOn();
    beginning.goOn();
    expect(comm(beginning.pid)).toBe('runc:[2:INIT]');
    expect(await letFrozenExecsBegin(id, systemClock)).toBeLessThan(2_000);
    expect(comm(beginning.pid)).toBe('sleep');
    // It has been told to go on as well.
    expect(comm(other.pid)).toBe('others');
    await isFrozen();
    const members = readFileSync(join(container(), 'cgroup.procs'), 'utf8').trim().split('\n').map(Number);
    expect(new Set(members)).toEqual(new Set([other.pid, beginning.pid]));
    // Nothing is left to be done, and nothing is left behind.
    expect(await letFrozenExecsBegin(id, systemClock)).toBeNull();
    expect(readdirSync(parent(), { withFileTypes: true }).filter((entry) => entry.isDirectory())).toHaveLength(1);
  });

  test('one that does not come to its beginning is put back after a while', async () => {
    writeFileSync(join(container(), file), thawed);
    const stuck = await inside('runc:[1:CHILD]', 'exit');
    await freeze();
    expect(await letFrozenExecsBegin(id, systemClock)).toBeGreaterThanOrEqual(2_000);
    expect(readFileSync(join(container(), 'cgroup.procs'), 'utf8').split('\n')).toContain(String(stuck.pid));
  });
});
