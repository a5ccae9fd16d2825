import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { actionCommand } from './action-command.ts';
import type { ActionOutcome, ControlAction } from './action.ts';
import { ControlClient } from './client.ts';
import type { Io } from './io.ts';
import { reloadCommand } from './reload-command.ts';
import { ControlServer } from './server.ts';
import { controlSocketPath } from './socket-path.ts';
import { statusCommand } from './status-command.ts';
import type { AgentStatus } from './status.ts';
import { exampleStatus } from '../../../../test/support/agent-status.ts';

let stateDir: string;
let actions: ControlAction[];
let outcome: () => Promise<ActionOutcome>;
let server: ControlServer | null;

function serve(dir = stateDir, status: () => AgentStatus = exampleStatus): ControlServer {
  return new ControlServer({
    path: controlSocketPath(dir),
    handlers: {
      status,
      recent: () => ({ events: [], log: ['{"msg":"said"}\n'] }),
      reload: ({ dryRun }) =>
        Promise.resolve({ result: dryRun ? 'would-apply' : 'refused', lines: ['agent.yaml:3:1: workloads: is required'] }),
      act(action) {
        actions.push(action);
        return outcome();
      },
    },
  });
}

function captured(): { io: Io; out: string[]; err: string[] } {
  const out: string[] = [];
  const err: string[] = [];
  const io = {
    env: {},
    clock: new ManualClock(),
    columns: null,
    write: (text: string) => void out.push(text),
    note: (text: string) => void err.push(text),
  };
  return { io, out, err };
}

async function post(body: string): Promise<{ status: number | undefined; body: string }> {
  const call = request({ socketPath: controlSocketPath(stateDir), method: 'POST', path: '/actions' });
  call.end(body);
  const [response] = await once(call, 'response');
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, body: text };
}

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'relight-control-'));
  actions = [];
  outcome = () => Promise.resolve({ ok: true, message: 'done' });
  server = null;
});

afterEach(async () => {
  await server?.close();
});

test('reload: what was taken up on stdout and 0; what was refused on stderr and 2', async () => {
  server = serve();
  await server.listen();
  const { io, out, err } = captured();
  expect(await reloadCommand({ stateDir, dryRun: true }, io)).toBe(0);
  expect(out.join('')).toContain('would be taken up:\n  agent.yaml:3:1');
  expect(await reloadCommand({ stateDir }, io)).toBe(2);
  expect(err.join('')).toContain('the configuration before it goes on:\n  agent.yaml:3:1: workloads: is required');
});

describe('control socket', () => {
  test('status and actions, for root alone, and nothing is left of it after close', async () => {
    server = serve();
    await server.listen();
    const client = new ControlClient(stateDir);
    expect(await client.status()).toEqual(exampleStatus());
    expect(await client.act({ action: 'pause', workload: 'w', forMs: 5, reason: 'x' })).toEqual({ ok: true, message: 'done' });
    expect(actions).toEqual([{ action: 'pause', workload: 'w', forMs: 5, reason: 'x' }]);
    expect(statSync(controlSocketPath(stateDir)).mode & 0o777).toBe(0o600);
    await server.close();
    server = null;
    expect(readdirSync(stateDir)).toEqual([]);
    await expect(client.status()).rejects.toMatchObject({ code: 'agent-unreachable', advice: expect.stringContaining('systemctl start') });
  });

  test('replaces the socket of an agent that was killed', async () => {
    const dead: Server = createServer();
    dead.listen(join(stateDir, 'moved'));
    await once(dead, 'listening');
    renameSync(join(stateDir, 'moved'), controlSocketPath(stateDir));
    dead.close();
    await once(dead, 'close');
    expect(existsSync(controlSocketPath(stateDir))).toBe(true);
    await expect(new ControlClient(stateDir).status()).rejects.toMatchObject({ code: 'agent-unreachable' });
    server = serve();
    await server.listen();
    expect((await new ControlClient(stateDir).status()).host).toBe('tpu-0');
  });

  test('works under a path longer than a socket address', async () => {
    const long = join(stateDir, 'd'.repeat(120), 'e'.repeat(60));
    mkdirSync(long, { recursive: true });
    server = serve(long);
    await server.listen();
    expect((await new ControlClient(long).status()).host).toBe('tpu-0');
    expect(readdirSync(long)).toEqual(['control.sock']);
  });

  test('a connection that asks nothing does not hold up the end', async () => {
    server = serve();
    await server.listen();
    const idle = connect(controlSocketPath(stateDir));
    await once(idle, 'connect');
    const gone = once(idle, 'close');
    await server.close();
    server = null;
    expect(await gone).toEqual([false]);
  });

  test.each([
    ['no JSON', '{', 400],
    ['an unknown action', '{"action":"reboot"}', 400],
    ['an unknown field', '{"action":"pause","force":true}', 400],
    ['a level on pause', '{"action":"pause","level":"process"}', 400],
    ['a time on restart', '{"action":"restart","forMs":5}', 400],
    ['a body without end', `{"action":"pause","reason":"${'x'.repeat(70_000)}"}`, 413],
  ])('refuses %s', async (_, body, status) => {
    server = serve();
    await server.listen();
    const answer = await post(body);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toMatchObject({ ok: false, message: expect.stringMatching(/./) });
    expect(actions).toEqual([]);
  });

  test('what the agent refuses comes back with its code', async () => {
    server = serve();
    await server.listen();
    outcome = () => Promise.reject(new RelightError('not-found', 'there is no workload "x"'));
    expect(await new ControlClient(stateDir).act({ action: 'resume', workload: 'x' })).toEqual({
      ok: false,
      code: 'not-found',
      message: 'there is no workload "x"',
    });
    const { io, out, err } = captured();
    expect(await actionCommand({ action: 'resume', workload: 'x' }, { stateDir }, io)).toBe(1);
    expect({ out, err }).toEqual({ out: [], err: ['relight-agent: there is no workload "x"\nCheck the name.'] });
  });

  test('a defect in the agent does not end the server', async () => {
    let broken = true;
    server = serve(stateDir, () => {
      if (broken) throw new Error('boom');
      return exampleStatus();
    });
    await server.listen();
    await expect(new ControlClient(stateDir).status()).rejects.toMatchObject({ code: 'protocol', message: 'boom' });
    broken = false;
    expect((await new ControlClient(stateDir).status()).host).toBe('tpu-0');
  });

  test('status --json has the workloads as the API has them', async () => {
    server = serve();
    await server.listen();
    const { io, out } = captured();
    expect(await statusCommand({ json: true }, { ...io, env: { RELIGHT_STATE_DIR: stateDir } })).toBe(0);
    expect(JSON.parse(out.join(''))).toMatchObject({
      host: 'tpu-0',
      startedAt: '2026-01-01T00:00:00.000Z',
      workloads: [
        { host: 'tpu-0', name: 'ray-worker', phase: 'setting-up', phaseSince: '2026-01-01T00:59:50.000Z', nextAttemptAt: null },
        { name: 'other', phase: 'back-off', nextAttemptAt: '2026-01-01T01:00:12.000Z' },
      ],
    });
  });
});
