/** Against a /proc of our own making. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { patientClock as clock } from '../../../../test/support/patient-clock.ts';
import { Raylets } from './raylets.ts';

const container = 'c'.repeat(64);
const signal = new AbortController().signal;
let procRoot = '';
beforeEach(() => {
  procRoot = mkdtempSync(join(tmpdir(), 'relight-proc-'));
});
afterEach(() => rmSync(procRoot, { recursive: true, force: true }));

function run(pid: number, comm: string, { state = 'S', owner = container, nodeId = '' } = {}): void {
  mkdirSync(join(procRoot, String(pid)), { recursive: true });
  const write = (name: string, text: string): void => writeFileSync(join(procRoot, String(pid), name), text);
  write('stat', `${pid} (${comm}) ${state} 1 ${pid} ${pid} ${'0 '.repeat(15)}${pid * 10} 0`);
  write('cgroup', `0::/docker/${owner}\n`);
  write('cmdline', `/ray/raylet\0--node_manager_port=0\0${nodeId === '' ? '' : `--node_id=${nodeId}\0`}`);
}
const end = (pid: number): void => rmSync(join(procRoot, String(pid)), { recursive: true });

it('tells which raylet runs, and which ones have run and are gone', async () => {
  const raylets = new Raylets({ clock, procRoot });
  const look = () => raylets.look(container, signal);
  expect(await look()).toEqual({ running: [], gone: new Set(), starting: false });
  run(10, 'ray');
  expect((await look()).starting).toBe(true);
  run(11, 'raylet', { nodeId: 'aaaa0000' });
  expect(await look()).toEqual({ running: ['aaaa0000'], gone: new Set(), starting: false });
  end(11);
  expect(await look()).toEqual({ running: [], gone: new Set(['aaaa0000']), starting: true });
  run(12, 'raylet', { nodeId: 'bbbb1111' });
  expect(await look()).toEqual({ running: ['bbbb1111'], gone: new Set(['aaaa0000']), starting: false });
});

it('sees no raylet in another container, in a zombie, or under another name', async () => {
  run(20, 'raylet', { owner: 'd'.repeat(64), nodeId: 'aaaa0000' });
  run(21, 'raylet', { state: 'Z', nodeId: 'bbbb1111' });
  run(22, 'bash', { nodeId: 'cccc2222' });
  expect(await new Raylets({ clock, procRoot }).look(container, signal)).toEqual({
    running: [],
    gone: new Set(),
    starting: false,
  });
});

it('leaves it to the head where a raylet does not tell its id', async () => {
  run(30, 'ray');
  run(31, 'raylet');
  expect(await new Raylets({ clock, procRoot }).look(container, signal)).toMatchObject({ running: [], starting: false });
});
