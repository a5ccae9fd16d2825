import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import util from 'node:util';
import { systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { waitFor } from '../../../../test/support/wait.ts';
import { DockerClient } from './docker-client.ts';
import { DockerEngine } from './docker-engine.ts';
import { runToEnd } from './exec.ts';
import { LateExecs } from './late-execs.ts';
import { pullImage } from './pull.ts';

/** A process in a group of its own, as an exec is, and the cgroup that it is in. */
async function sleeper(): Promise<{ pid: number; cgroup: string; isAlive: () => boolean; [Symbol.asyncDispose]: () => Promise<void> }> {
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
  await once(child, 'spawn');
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null;
  const pid = child.pid ?? 0;
  return {
    pid,
    cgroup: readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim(),
    isAlive,
    async [Symbol.asyncDispose]() {
      if (!isAlive()) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** A server in place of the engine, for what a real one cannot be brought to do on request. */
describe('DockerClient', () => {
  let directory: string;
  let server: Server;
  let requests: string[];
  let apiVersion: string;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let client: DockerClient;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'relight-client-'));
    requests = [];
    apiVersion = '1.44';
    answer = (_, response) => response.end('{}');
    server = createServer((request, response) => {
      requests.push(`${request.method} ${request.url}`);
      if (request.url === '/version') response.end(JSON.stringify({ ApiVersion: apiVersion, MinAPIVersion: '1.24' }));
      else answer(request, response);
    });
    const socketPath = join(directory, 's');
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    client = new DockerClient({ socketPath, callTimeoutMs: 60_000, clock: systemClock });
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });

  const ask = (options = {}) => client.call('other', options, (connection) => connection.send({ method: 'GET', path: '/info' }));

  it('agrees on a version once, and again after the engine was away', async () => {
    await ask();
    await ask();
    expect(requests).toEqual(['GET /version', 'GET /v1.44/info', 'GET /v1.44/info']);
    answer = (request) => request.socket.destroy();
    await expect(ask()).rejects.toMatchObject({ code: 'engine-unreachable' });
    answer = (_, response) => response.end('{}');
    apiVersion = '1.47';
    requests = [];
    await ask();
    expect(requests).toEqual(['GET /version', 'GET /v1.47/info']);
  });

  describe('a command that does not end in time', () => {
    /** The engine takes the start in and does not answer it. */
    const runWhile = (running: object): Promise<unknown> => {
      const clock = new ManualClock();
      answer = ({ url }, response) => {
        if (url?.endsWith('/exec') === true) response.end('{"Id":"e1"}');
        else if (url?.endsWith('/json') === true) response.end(JSON.stringify(running));
        else clock.advance(200);
      };
      const late = new DockerClient({ socketPath: join(directory, 's'), callTimeoutMs: 5_000, clock });
      return runToEnd(late, 'c1', { argv: ['true'] }, { timeoutMs: 200 }, new LateExecs(late));
    };

    it('is the command’s doing when it runs', async () => {
      const elsewhere = { Running: true, ExitCode: null, Pid: process.pid, ContainerID: 'c'.repeat(64) };
      await expect(runWhile(elsewhere)).rejects.toMatchObject({ code: 'stage-timeout', data: { killed: false } });
    });

    it('is the engine’s when it has not begun: its container was paused in that moment', async () => {
      const half = { Running: true, ExitCode: null, Pid: 0, ContainerID: 'c'.repeat(64) };
      await expect(runWhile(half)).rejects.toMatchObject({ code: 'engine-timeout' });
    });

    it.each([
      ['the engine has taken its start in and hangs over it', { Running: true, ExitCode: null, Pid: 0 }, false],
      ['the engine has not come to its start', { Running: false, ExitCode: null, Pid: 0 }, false],
      ['the engine says nothing at all', null, false],
      ['who called has gone', { Running: true, ExitCode: null, Pid: 0 }, true],
    ])('is killed when it begins after all: %s', async (_, before, cancelled) => {
      await using command = await sleeper();
      const ContainerID = command.cgroup;
      let says: object | null = before;
      const starts = Promise.withResolvers<void>();
      answer = ({ url }, response) => {
        if (url?.endsWith('/exec') === true) response.end('{"Id":"e1"}');
        else if (url?.endsWith('/start') === true) starts.resolve();
        else if (says !== null) response.end(JSON.stringify({ ...says, ContainerID }));
      };
      const clock = new ManualClock();
      const controller = new AbortController();
      const engine = new DockerEngine({ socketPath: join(directory, 's'), callTimeoutMs: 5_000, clock });
      const result = engine.exec('c1', { argv: ['true'] }, { timeoutMs: 200, signal: controller.signal });
      const ended = result.then(
        () => 'a result',
        (error: RelightError) => error.code,
      );
      await starts.promise;
      const asked = requests.length;
      if (cancelled) controller.abort(new RelightError('start-deadline', 'too late'));
      else clock.advance(200);
      await waitFor(() => requests.length > asked, { what: 'the engine to be asked about it' });
      if (before === null) clock.advance(2_000);
      expect(await ended).toBe(cancelled ? 'start-deadline' : 'engine-timeout');
      expect(command.isAlive()).toBe(true);
      says = { Running: true, ExitCode: null, Pid: command.pid };
      await waitFor(
        () => {
          clock.advance(5_000);
          return !command.isAlive();
        },
        { what: 'the command to be killed' },
      );
    });

    it('is killed when it begins, also when the engine has had failures of its own meanwhile', async () => {
      await using command = await sleeper();
      let says: 'has not begun' | 'fails' | 'runs' = 'has not begun';
      const asked = (): number => requests.filter((request) => request.endsWith('/e1/json')).length;
      const clock = new ManualClock();
      answer = ({ url }, response) => {
        if (url?.endsWith('/exec') === true) response.end('{"Id":"e1"}');
        else if (url?.endsWith('/start') === true) clock.advance(200);
        else if (says === 'fails') response.writeHead(500).end('{"message":"context deadline exceeded"}');
        else {
          const running = says === 'runs';
          response.end(JSON.stringify({ Running: running, ExitCode: null, Pid: running ? command.pid : 0, ContainerID: command.cgroup }));
        }
      };
      const engine = new DockerEngine({ socketPath: join(directory, 's'), callTimeoutMs: 5_000, clock });
      await expect(engine.exec('c1', { argv: ['true'] }, { timeoutMs: 200 })).rejects.toMatchObject({ code: 'engine-timeout' });
      says = 'fails';
      const before = asked();
      const look = (until: () => boolean, what: string): Promise<unknown> =>
        waitFor(
          () => {
            clock.advance(5_000);
            return until();
          },
          { what },
        );
      await look(() => asked() > before, 'another look');
      says = 'runs';
      await look(() => !command.isAlive(), 'the command to be killed');
    });

    it.each([
      ['is gone', 404, '{"message":"No such exec instance"}'],
      ['has stopped', 200, '{"Running":false,"ExitCode":null,"Pid":0,"ContainerID":"c1","State":{"Running":false}}'],
    ])('is awaited no longer than it can begin: its container %s', async (_, status, body) => {
      answer = ({ url }, response) => {
        if (url?.endsWith('/exec') === true) response.end('{"Id":"e1"}');
        else if (url?.endsWith('/json') === true) response.writeHead(status).end(body);
        else if (url?.endsWith('/start') === true) clock.advance(200);
        else response.end();
      };
      const clock = new ManualClock();
      const engine = new DockerEngine({ socketPath: join(directory, 's'), callTimeoutMs: 5_000, clock });
      await expect(engine.exec('c1', { argv: ['true'] }, { timeoutMs: 200 })).rejects.toBeInstanceOf(RelightError);
      const looks = (): number => requests.filter((request) => request.endsWith('/e1/json')).length;
      /** What was asked meanwhile is answered: the clock that goes on then is nobody's deadline. */
      const round = async (): Promise<void> => {
        clock.advance(5_000);
        for (let call = 0; call < 5; call += 1) await engine.ping();
      };
      await waitFor(
        async () => {
          await round();
          return looks() === 2;
        },
        { what: 'another look' },
      );
      // The next one would come within the time that this takes.
      for (let rounds = 0; rounds < 10; rounds += 1) await round();
      expect(looks()).toBe(2);
    });
  });

  it('refuses an engine that is too old', async () => {
    apiVersion = '1.40';
    await expect(ask()).rejects.toMatchObject({ code: 'engine-too-old', recoverable: false });
  });

  it('uses its socket whatever DOCKER_HOST says', async () => {
    vi.stubEnv('DOCKER_HOST', 'tcp://127.0.0.1:9');
    await ask();
    expect(requests).toContain('GET /v1.44/info');
  });

  it('describes a request in a line for the debug log of docker-modem, without credentials, and sends all of it', async () => {
    let sent: { auth: unknown; body: string } | undefined;
    answer = (request, response) => {
      void text(request).then((body) => {
        sent = { auth: request.headers['x-registry-auth'], body };
        response.end('{}');
      });
    };
    const registry = { username: 'u', password: 'p' };
    const inspected = vi.spyOn(util, 'inspect');
    await client.call('other', {}, (connection) =>
      connection.send({ method: 'POST', path: '/images/create', query: { fromImage: 'a' }, body: { b: 1 }, registry }),
    );
    expect(inspected.mock.results.map(({ value }) => value as string)).toEqual(['GET /version', 'POST /v1.44/images/create?fromImage=a']);
    expect(sent).toEqual({ auth: Buffer.from(JSON.stringify(registry)).toString('base64'), body: '{"b":1}' });
  });

  it('makes a new connection for each call', async () => {
    const sockets = new Set<unknown>();
    answer = (request, response) => {
      sockets.add(request.socket);
      response.end('{}');
    };
    await ask();
    await ask();
    expect(sockets.size).toBe(2);
  });

  it('ends a call whose answer stops in the middle', async () => {
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"a":');
    };
    await expect(ask({ timeoutMs: 100 })).rejects.toMatchObject({ code: 'engine-timeout', data: { timeoutMs: 100 } });
  });

  it('takes an answer that has come by the deadline, though nobody could look', async () => {
    const clock = new ManualClock();
    const still = new DockerClient({ socketPath: join(directory, 's'), callTimeoutMs: 5_000, clock });
    answer = (_, response) => {
      response.end('{"here":true}');
      // It is on its way; who has asked has seen nothing of it.
      setImmediate(() => clock.advance(5_000));
    };
    const asked = still.call('other', {}, (connection) => connection.send({ method: 'GET', path: '/info' }));
    await expect(asked).resolves.toEqual({ here: true });
  });

  it('leaves a stream alone that was opened at the last moment', async () => {
    const clock = new ManualClock();
    const still = new DockerClient({ socketPath: join(directory, 's'), callTimeoutMs: 5_000, clock });
    let send: (() => void) | undefined;
    answer = (_, response) => {
      response.flushHeaders();
      send = () => response.end('late');
      setImmediate(() => clock.advance(5_000));
    };
    const stream = await still.open('other', undefined, { method: 'GET', path: '/events' });
    for (let turn = 0; turn < 4; turn += 1) await new Promise((turned) => setImmediate(turned));
    send?.();
    expect(Buffer.concat((await stream.toArray()) as Buffer[]).toString()).toBe('late');
  });

  it('tells cancellation from a deadline, and keeps the reason', async () => {
    answer = () => undefined;
    const reason = new RelightError('stage-timeout', 'enough');
    const controller = new AbortController();
    const asked = ask({ signal: controller.signal });
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    await expect(ask({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('holds the deadline only until a stream is open', async () => {
    let send: (() => void) | undefined;
    answer = (_, response) => {
      response.flushHeaders();
      send = () => response.end('late');
    };
    const clock = new ManualClock();
    const patient = new DockerClient({ socketPath: join(directory, 's'), callTimeoutMs: 5_000, clock });
    const stream = await patient.open('other', undefined, { method: 'GET', path: '/events' });
    clock.advance(60_000);
    send?.();
    expect(Buffer.concat((await stream.toArray()) as Buffer[]).toString()).toBe('late');
  });

  it('ends an open stream when its signal aborts', async () => {
    answer = (_, response) => response.flushHeaders();
    const controller = new AbortController();
    const stream = await client.open('other', controller.signal, { method: 'GET', path: '/events' });
    const read = stream.toArray();
    controller.abort();
    await expect(read).rejects.toThrow();
  });

  it('counts calls, those that failed and their time; who gives up says nothing of the engine', async () => {
    await ask();
    answer = (_, response) => response.writeHead(500).end('{"message":"broken"}');
    await expect(ask()).rejects.toThrow('broken');
    answer = () => undefined;
    const stop = new AbortController();
    const given = ask({ signal: stop.signal });
    await vi.waitFor(() => expect(requests).toHaveLength(4), { timeout: 60_000, interval: 5 });
    stop.abort();
    await expect(given).rejects.toMatchObject({ code: 'cancelled' });
    expect(client.calls).toEqual({ ended: 3, failed: 1, ms: expect.any(Number) as number });
    expect(client.calls.ms).toBeGreaterThan(0);
  });

  it('lets a slow registry take longer than a call, but not for ever', async () => {
    let asked: (() => void) | undefined;
    const arrived = new Promise<void>((resolve) => (asked = resolve));
    answer = (request, response) => (request.url?.includes('/images/create') === true ? asked?.() : response.end('OK'));
    const clock = new ManualClock();
    const pulling = pullImage(
      new DockerClient({ socketPath: join(directory, 's'), callTimeoutMs: 5_000, clock }),
      'a',
      () => undefined,
      {},
    );
    const failed = pulling.catch((error: unknown) => error);
    await arrived;
    clock.advance(299_999);
    expect(clock.pendingTimers).toBe(2);
    clock.advance(1);
    expect(await failed).toMatchObject({ code: 'image-pull-failed', message: expect.stringMatching(/nothing came/) });
    expect(clock.pendingTimers).toBe(0);
  });

  it('gives up on a stream that never opens', async () => {
    answer = () => undefined;
    const shortLived = new DockerClient({ socketPath: join(directory, 's'), callTimeoutMs: 100, clock: systemClock });
    await expect(shortLived.open('other', undefined, { method: 'GET', path: '/events' })).rejects.toMatchObject({ code: 'engine-timeout' });
  });
});
