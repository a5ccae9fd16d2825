/** What is left alone, on cgroups of files. What is done, with a real kernel: test/integration/frozen-execs.test.ts. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@relight/shared/clock';
import { afterEach, expect, test } from 'vitest';
import { FrozenExecs, letFrozenExecsBegin } from './frozen-execs.ts';

const id = 'ab'.repeat(32);
const roots: string[] = [];
afterEach(() => roots.splice(0).forEach((root) => rmSync(root, { recursive: true, force: true })));

interface Host {
  readonly procRoot: string;
  readonly cgroups: string;
  readonly state: string;
}

/** A container of one process, and one more that calls itself `comm`. */
function host(state: string, comm: string, of = id): Host {
  const root = mkdtempSync(join(tmpdir(), 'relight-freezer-'));
  roots.push(root);
  const cgroups = join(root, 'cgroup/docker');
  mkdirSync(join(cgroups, id), { recursive: true });
  writeFileSync(join(cgroups, id, 'freezer.state'), `${state}\n`);
  const procRoot = join(root, 'proc');
  mkdirSync(join(procRoot, 'self'), { recursive: true });
  writeFileSync(join(procRoot, 'self/mountinfo'), `1 0 0:30 / ${join(root, 'cgroup')} rw - cgroup cgroup rw,freezer\n`);
  for (const [pid, name, container] of [
    [7, 'sleep', id],
    [8, comm, of],
  ] as const) {
    mkdirSync(join(procRoot, String(pid)));
    writeFileSync(join(procRoot, `${pid}/stat`), `${pid} (${name}) D 1 1 1 ${'0 '.repeat(15)}100 0`);
    writeFileSync(join(procRoot, `${pid}/cgroup`), `6:freezer:/docker/${container}\n`);
  }
  return { procRoot, cgroups, state: join(cgroups, id, 'freezer.state') };
}

test.each([
  ['no exec begins there', 'FROZEN', 'sh', id],
  ['it is not frozen: one is about to begin, as every second', 'THAWED', 'runc:[2:INIT]', id],
  ['it is still being frozen', 'FREEZING', 'runc:[2:INIT]', id],
  ['the one that stands there is in another container', 'FROZEN', 'runc:[2:INIT]', 'cd'.repeat(32)],
] as const)('left alone: %s', async (_, state, comm, of) => {
  const there = host(state, comm, of);
  expect(await letFrozenExecsBegin(id, systemClock, there.procRoot)).toBeNull();
  expect(readdirSync(there.cgroups)).toEqual([id]);
});

test('a freezer that cannot be read is told in the log and hurts nobody', async () => {
  const there = host('FROZEN', 'runc:[1:CHILD]');
  rmSync(there.state);
  const told: unknown[] = [];
  const logger = { warn: (words: unknown) => told.push(words) };
  const execs = new FrozenExecs({ clock: systemClock, logger, emit: (event) => told.push(event), procRoot: there.procRoot });
  await execs.letBegin(id, 'ray', 'worker');
  expect(told).toMatchObject([{ workload: 'worker', reason: expect.stringContaining('ENOENT') }]);
});
