import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { exampleStatus } from '../../../../test/support/agent-status.ts';
import type { ControlSpec } from '../config/spec.ts';
import { ControlClient } from './client.ts';
import { groupSocketPath } from './socket-path.ts';
import { ControlSockets } from './sockets.ts';

const group = { name: 'mine', id: process.getgid?.() ?? 0 };
let stateDir: string;
let runDir: string;
let said: string[];
let sockets: ControlSockets;

async function open(of: ControlSpec['group']): Promise<void> {
  sockets = new ControlSockets({
    stateDir,
    runDir,
    group: of,
    handlers: (by) => ({
      status: exampleStatus,
      recent: () => ({ events: [], log: [] }),
      reload: ({ dryRun }) => Promise.resolve({ result: dryRun ? 'would-apply' : 'applied', lines: [] }),
      act: ({ action }) => Promise.resolve({ ok: true, message: `${action} ${by}` }),
    }),
    onError: (message) => said.push(message),
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

test('agents with other state directories have other sockets', () => {
  expect(groupSocketPath('/var/lib/relight')).toBe('/run/relight/control.sock');
  expect(groupSocketPath('/srv/relight')).toMatch(/^\/run\/relight\/control-[0-9a-f]{16}\.sock$/);
  expect(groupSocketPath('/srv/relight')).not.toBe(groupSocketPath('/srv/relight2'));
});
