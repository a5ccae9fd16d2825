import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { exampleStatus } from '../../../../test/support/agent-status.ts';
import { waitFor } from '../../../../test/support/wait.ts';
import type { ControlSpec } from '../config/spec.ts';
import { ControlClient } from './client.ts';
import { connectionsMax } from './server.ts';
import { groupSocketPath } from './socket-path.ts';
import { ControlSockets } from './sockets.ts';
import type { AgentStatus } from './status.ts';

const group = { name: 'mine', id: process.getgid?.() ?? 0 };
let stateDir: string;
let runDir: string;
let said: string[];
let clock: ManualClock;
/** What this host answers, in this order; then it knows none. */
let ids: (number | null)[];
let refused: { readonly lines: string[]; readonly places: string[] } | null;
let sockets: ControlSockets;

function status(): AgentStatus {
  const example = exampleStatus();
  if (refused === null || example.configuration === null) return example;
  const reason = refused.lines.join('\n');
  const common = { subject: '/etc/relight/agent.yaml', severity: 'warning' as const, since: 1, advice: 'Correct it.' };
  return {
    ...example,
    configuration: { ...example.configuration, refused: { at: 1, reason, places: refused.places } },
    conditions: [
      { ...common, name: 'configuration-refused', reason },
      { ...common, name: 'disk-low', reason: '4 % free' },
    ],
  };
}

async function open(of: ControlSpec['group']): Promise<void> {
  sockets = new ControlSockets({
    stateDir,
    runDir,
    group: of,
    handlers: (by) => ({
      status,
      recent: () => ({ events: [], log: [] }),
      reload: ({ dryRun }) =>
        Promise.resolve(refused === null ? { result: dryRun ? 'would-apply' : 'applied', lines: [] } : { result: 'refused', ...refused }),
      act: ({ action }) => Promise.resolve({ ok: true, message: `${action} ${by}` }),
    }),
    clock,
    groupId: () => Promise.resolve(ids.shift() ?? null),
    onError: (message) => said.push(message),
    onMended: (message) => said.push(message),
  });
  await sockets.listen();
}

function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: groupSocketPath(stateDir, runDir), method, path }, (response) => resolve(json(response)));
    call.once('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'relight-state-'));
  runDir = join(mkdtempSync(join(tmpdir(), 'relight-run-')), 'relight');
  said = [];
  clock = new ManualClock();
  ids = [];
  refused = null;
});
afterEach(() => sockets.close());

test('a group may look and act, but not have the configuration taken up; nothing is left of it after close', async () => {
  await open(group);
  const path = groupSocketPath(stateDir, runDir);
  expect(statSync(path)).toMatchObject({ gid: group.id, uid: process.getuid?.() });
  expect(statSync(path).mode & 0o777).toBe(0o660);
  expect(statSync(runDir).mode & 0o777).toBe(0o755);
  expect(statSync(join(stateDir, 'control.sock')).mode & 0o777).toBe(0o600);
  expect(await ask('GET', '/status')).toMatchObject({ host: 'tpu-0' });
  expect(await ask('POST', '/actions', { action: 'pause' })).toEqual({
    ok: true,
    message: 'pause by hand on the host, by a member of the group mine',
  });
  expect(await ask('GET', '/recent')).toMatchObject({ ok: false, code: 'forbidden' });
  expect(await ask('POST', '/reload', { dryRun: true })).toEqual({ result: 'would-apply', lines: [] });
  expect(await ask('POST', '/reload', { dryRun: false })).toEqual({
    ok: false,
    code: 'forbidden',
    message: 'only root may have the configuration read again',
  });
  expect(await new ControlClient(stateDir, runDir).reload({ dryRun: false })).toEqual({ result: 'applied', lines: [] });
  expect(await new ControlClient(stateDir, runDir).act({ action: 'pause' })).toEqual({ ok: true, message: 'pause by hand on the host' });
  await sockets.close();
  expect(readdirSync(runDir)).toEqual([]);
  expect(said).toEqual([]);
});

test('without a group there is one socket, and none is left of a life that had one', async () => {
  mkdirSync(runDir);
  writeFileSync(groupSocketPath(stateDir, runDir), '');
  await open(null);
  expect(readdirSync(runDir)).toEqual([]);
  expect(readdirSync(stateDir)).toEqual(['control.sock']);
});

test('a directory that others may write to is no place for it: that is said, and the agent goes on without', async () => {
  mkdirSync(runDir);
  chmodSync(runDir, 0o777);
  await open(group);
  expect(said).toEqual([
    `the group mine cannot reach the agent: ${runDir} is not a directory that only the agent's user may write to; remove it`,
  ]);
  expect(existsSync(groupSocketPath(stateDir, runDir))).toBe(false);
  expect((await new ControlClient(stateDir, runDir).status()).host).toBe('tpu-0');
});

test('a group that this host does not know yet is let in when it does; root never waits for it', async () => {
  ids = [null, group.id];
  await open({ name: 'mine', id: null });
  expect((await new ControlClient(stateDir, runDir).status()).host).toBe('tpu-0');
  expect(said).toEqual(['the group mine cannot reach the agent: this host does not know it now; it is looked for again every minute']);
  clock.advance(60_000);
  await waitFor(() => ids.length === 1 && clock.pendingTimers === 1, { what: 'the first answer' });
  expect(existsSync(groupSocketPath(stateDir, runDir))).toBe(false);
  clock.advance(60_000);
  await waitFor(() => said.length === 2, { what: 'the second answer' });
  expect(said[1]).toBe('the group mine is known now, and can reach the agent');
  expect(await ask('GET', '/status')).toMatchObject({ host: 'tpu-0' });
  expect(statSync(groupSocketPath(stateDir, runDir))).toMatchObject({ gid: group.id });
  expect(clock.pendingTimers).toBe(0);
});

test('after close nobody asks for a group any more', async () => {
  await open({ name: 'mine', id: null });
  await sockets.close();
  expect(clock.pendingTimers).toBe(0);
  expect(existsSync(runDir)).toBe(false);
});

test('of a file that was refused, members hear where it is wrong, and not what stands there; root hears it all', async () => {
  const place = '/etc/relight/agent.yaml:3:12: workloads';
  refused = { lines: [`${place}: must be a list, not "hunter2"`, 'Correct it.'], places: [place] };
  await open(group);
  const heard = [await ask('POST', '/reload', { dryRun: true }), await ask('GET', '/status')];
  expect(JSON.stringify(heard)).not.toContain('hunter2');
  const why = 'why, only root may see: sudo relight-agent reload --dry-run';
  expect(heard[0]).toEqual({ result: 'refused', places: [place], lines: [`${place}: is not valid`, why] });
  expect(heard[1]).toMatchObject({
    configuration: { refused: { at: 1, reason: `${place}: is not valid\n${why}` } },
    conditions: [
      { name: 'configuration-refused', reason: expect.stringContaining(`${place}: is not valid; ${why}`) },
      { reason: '4 % free' },
    ],
  });
  const root = new ControlClient(stateDir, runDir);
  expect(await root.reload({ dryRun: true })).toEqual({ result: 'refused', ...refused });
  expect((await root.status()).configuration?.refused?.reason).toContain('hunter2');
});

test('whoever opens more connections than anybody needs takes nothing away from root', async () => {
  await open(group);
  const path = groupSocketPath(stateDir, runDir);
  const idle: Socket[] = [];
  const dropped: Socket[] = [];
  for (let index = 0; index < connectionsMax + 10; index += 1) {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.on('error', () => {});
    socket.once('close', () => dropped.push(socket)).resume();
    idle.push(socket);
  }
  await waitFor(() => dropped.length === 10, { what: 'those that were too many to be gone' });
  expect((await new ControlClient(stateDir, runDir).status()).host).toBe('tpu-0');
  for (const socket of idle.filter((one) => !dropped.includes(one)).slice(0, 2)) socket.destroy();
  await waitFor(async () => ((await ask('GET', '/status').catch(() => null)) === null ? undefined : true), { what: 'room for a member' });
});

test('agents with other state directories have other sockets', () => {
  expect(groupSocketPath('/var/lib/relight')).toBe('/run/relight/control.sock');
  expect(groupSocketPath('/srv/relight')).toMatch(/^\/run\/relight\/control-[0-9a-f]{16}\.sock$/);
  expect(groupSocketPath('/srv/relight')).not.toBe(groupSocketPath('/srv/relight2'));
});
