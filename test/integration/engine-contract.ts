/**
 * What every implementation of the engine port must do. Runs against the Docker adapter on a real engine and against the
 * fake one, so that what holds in the tests of everything above holds on a host.
 */
import { RelightError, type ErrorCode } from '@relight/shared/errors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, EngineEvent } from '../../packages/agent/src/engine/engine.ts';
import { createBody, type CreateBodyInput } from '../support/create-body.ts';
import { freePort } from '../support/ports.ts';
import { eventually, waitFor } from '../support/wait.ts';

export interface ContractTarget {
  readonly engine: Engine;
  readonly image: string;
  /** An engine of its own that the faults are injected into. */
  readonly fragile: {
    readonly engine: Engine;
    stop(): Promise<void>;
    start(): Promise<void>;
    freeze(): void;
    thaw(): void;
  };
  dispose(): Promise<void>;
}

/** The commands of the suite; the fake engine has a script for each. */
export const contractCommands = {
  forever: ['sleep', '1000'],
  exit3: ['sh', '-c', 'exit 3'],
  obedient: ['sh', '-c', 'trap "exit 5" TERM; : > /tmp/obeys; while :; do sleep 0.05; done'],
  /** Its end comes well behind the killing: an engine that hears of both at the same time may hear of the end first, and calls it one of its own. */
  greedy: ['sh', '-c', 'tail /dev/zero; code=$?; sleep 1; exit $code'],
  output: ['sh', '-c', 'printf out; printf err >&2; exit 7'],
  environment: ['sh', '-c', 'printf %s "$NAME"'],
  noisy: ['sh', '-c', 'head -c 300000 /dev/zero | tr "\\0" x; echo END'],
  slow: ['sleep', '30'],
  /** As slow, and its beginning can be seen. */
  begun: ['sh', '-c', ': > /tmp/begun; exec sleep 30'],
  obeys: ['test', '-e', '/tmp/obeys'],
  hasBegun: ['test', '-e', '/tmp/begun'],
  absent: ['no-such-program'],
} as const;

const commands = contractCommands;

export function engineContract(name: string, open: () => Promise<ContractTarget>): void {
  describe(`engine contract: ${name}`, () => {
    let target: ContractTarget;
    let engine: Engine;
    let serial = 0;

    beforeAll(async () => {
      target = await open();
      engine = target.engine;
    });
    afterAll(() => target.dispose());

    const make = async (command: readonly string[], more: CreateBodyInput = {}): Promise<{ id: string; name: string }> => {
      const containerName = `contract-${(serial += 1)}`;
      const { id } = await engine.create(containerName, createBody(target.image, command, more));
      return { id, name: containerName };
    };
    const run = async (command: readonly string[], more?: CreateBodyInput): Promise<{ id: string; name: string }> => {
      const made = await make(command, more);
      await engine.start(made.id);
      return made;
    };
    const succeeds = (id: string, argv: readonly string[], what: string) =>
      waitFor(async () => (await engine.exec(id, { argv })).exitCode === 0, { what, timeoutMs: 30_000 });
    const ended = (id: string) =>
      waitFor(async () => (await engine.inspect(id))?.status === 'exited', { what: `container ${id} to exit`, timeoutMs: 30_000 }).then(
        () => engine.inspect(id),
      );

    describe('containers', () => {
      it('tells created, running and exited apart, with times and exit code', async () => {
        const { id, name: containerName } = await make(commands.exit3, {
          Labels: { a: '1' },
          HostConfig: { RestartPolicy: { Name: 'no' } },
        });
        expect(await engine.inspect(id)).toMatchObject({
          id,
          name: containerName,
          status: 'created',
          pid: 0,
          startedAt: null,
          finishedAt: null,
          exitCode: null,
        });
        await engine.start(id);
        const facts = await ended(id);
        expect(facts).toMatchObject({ status: 'exited', exitCode: 3, oomKilled: false, pid: 0, labels: { a: '1' }, restartPolicy: 'no' });
        expect(facts?.finishedAt).toBeGreaterThanOrEqual(facts?.startedAt ?? Number.NaN);
      });

      it('starts a running container again without complaint, keeping its process', async () => {
        const { id } = await run(commands.forever);
        const before = await engine.inspect(id);
        await engine.start(id);
        expect(before?.pid).toBeGreaterThan(0);
        expect(await engine.inspect(id)).toEqual(before);
      });

      it('finds by exact name and by all labels, never by a part', async () => {
        const labels = { 'relight.agent': 'me', 'relight.workload': `list-${serial}` };
        const { id, name: containerName } = await make(commands.forever, { Labels: labels });
        expect(await engine.list({ name: containerName })).toEqual([id]);
        expect(await engine.list({ name: containerName.slice(0, -1) })).not.toContain(id);
        expect(await engine.list({ name: containerName.slice(1) })).toEqual([]);
        expect(await engine.list({ name: containerName.replace('-', '.') })).toEqual([]);
        expect(await engine.list({ labels })).toEqual([id]);
        expect(await engine.list({ labels: { ...labels, 'relight.agent': 'm' } })).toEqual([]);
        expect(await engine.inspect(containerName.slice(0, -1))).toBeNull();
        expect(await engine.inspect(id.slice(0, 12))).toBeNull();
        expect((await engine.inspectRaw(containerName))?.['Id']).toBe(id);
      });

      it('names the holder of a name, at create and at rename', async () => {
        const holder = await make(commands.forever);
        const other = await make(commands.forever);
        const conflict = { code: 'name-conflict', recoverable: false, data: { holderId: holder.id } };
        await expect(engine.create(holder.name, createBody(target.image, commands.forever))).rejects.toMatchObject(conflict);
        await expect(engine.rename(other.id, holder.name)).rejects.toMatchObject(conflict);
      });

      it('renames a stopped container out of the way', async () => {
        const { id, name: containerName } = await run(commands.exit3);
        await ended(id);
        await engine.rename(id, `${containerName}.old`);
        expect(await engine.inspect(containerName)).toBeNull();
        expect(await engine.inspect(`${containerName}.old`)).toMatchObject({ id, exitCode: 3 });
        await engine.create(containerName, createBody(target.image, commands.forever));
      });

      it('removes a running container, and one that is gone', async () => {
        const { id } = await run(commands.forever);
        await engine.remove(id);
        await engine.remove(id);
        expect(await engine.inspect(id)).toBeNull();
      });

      it('removes once when two ask at the same time', async () => {
        const { id } = await run(commands.forever);
        await Promise.all([engine.remove(id), engine.remove(id), engine.remove(id)]);
        expect(await engine.inspect(id)).toBeNull();
      });

      it('stops with the signal when the process obeys, by force after the grace otherwise', async () => {
        const obedient = await run(commands.obedient);
        const stubborn = await run(commands.forever);
        // Without its trap it would not hear the signal: it is the first process of its container.
        await succeeds(obedient.id, commands.obeys, 'the trap');
        await engine.stop(obedient.id, 20_000);
        expect(await engine.inspect(obedient.id)).toMatchObject({ status: 'exited', exitCode: 5 });
        await engine.stop(stubborn.id, 0);
        expect(await engine.inspect(stubborn.id)).toMatchObject({ status: 'exited', exitCode: 137 });
        await engine.stop(stubborn.id, 0);
      });

      it('kills', async () => {
        const { id } = await run(commands.forever);
        await engine.kill(id, 'SIGKILL');
        expect(await ended(id)).toMatchObject({ exitCode: 137, oomKilled: false });
        await engine.kill(id, 'SIGKILL');
      });

      it('says when the kernel killed for memory', async () => {
        const { id } = await run(commands.greedy, { HostConfig: { Memory: 16 << 20, MemorySwap: 16 << 20 } });
        expect(await ended(id)).toMatchObject({ exitCode: 137, oomKilled: true });
      });

      it('measures what runs, and nothing that does not', async () => {
        const { id } = await run(commands.forever, { HostConfig: { Memory: 64 << 20 } });
        const stats = await engine.stats(id);
        expect(stats?.memoryBytes).toBeGreaterThan(0);
        expect(stats?.memoryLimitBytes).toBeGreaterThan(stats?.memoryBytes ?? 0);
        expect(stats?.pids).toBeGreaterThan(0);
        await engine.kill(id, 'KILL');
        await ended(id);
        expect(await engine.stats(id)).toBeNull();
        expect(await engine.stats('f'.repeat(64))).toBeNull();
      });
    });

    describe('commands', () => {
      it('gives exit code and both outputs', async () => {
        const { id } = await run(commands.forever);
        expect(await engine.exec(id, { argv: commands.output })).toEqual({ exitCode: 7, stdout: 'out', stderr: 'err' });
      });

      it('passes the environment', async () => {
        const { id } = await run(commands.forever);
        expect((await engine.exec(id, { argv: commands.environment, env: { NAME: 'a b"c\n$d' } })).stdout).toBe('a b"c\n$d');
      });

      it('keeps the last 64 KiB of long output', async () => {
        const { id } = await run(commands.forever);
        const { stdout } = await engine.exec(id, { argv: commands.noisy });
        expect(stdout).toHaveLength(64 * 1024);
        expect(stdout).toMatch(/xEND\n$/);
      });

      it('ends a command at its deadline', async () => {
        const { id } = await run(commands.forever);
        await expect(engine.exec(id, { argv: commands.slow }, { timeoutMs: 3_000 })).rejects.toMatchObject({ code: 'stage-timeout' });
        await eventually(async () => expect((await engine.stats(id))?.pids).toBe(1), { what: 'the command to be gone', timeoutMs: 20_000 });
      });

      it('ends a command when it is cancelled, with the reason of whoever cancelled', async () => {
        const { id } = await run(commands.forever);
        const controller = new AbortController();
        const reason = new RelightError('start-deadline', 'too late');
        const result = engine.exec(id, { argv: commands.begun }, { signal: controller.signal });
        await succeeds(id, commands.hasBegun, 'the command to run');
        controller.abort(reason);
        await expect(result).rejects.toBe(reason);
      });

      it('gives 137 for a command whose container dies', async () => {
        const { id } = await run(commands.forever);
        const result = engine.exec(id, { argv: commands.begun });
        // A second process is no command yet: the engine's own helper comes before it, and what dies with that cannot be started.
        await succeeds(id, commands.hasBegun, 'the command to run');
        await engine.kill(id, 'SIGKILL');
        expect(await result).toEqual({ exitCode: 137, stdout: '', stderr: '' });
      });

      it('says that a program cannot be started', async () => {
        const { id } = await run(commands.forever);
        await expect(engine.exec(id, { argv: commands.absent })).rejects.toMatchObject({ code: 'exec-failed' });
        await expect(engine.execDetached(id, { argv: commands.absent })).rejects.toMatchObject({ code: 'exec-failed' });
      });

      it('leaves a detached command to itself', async () => {
        const { id } = await run(commands.forever);
        const { pid } = await engine.execDetached(id, { argv: commands.slow });
        expect(pid).toBeGreaterThan(1);
        expect(await engine.inspect(id)).toMatchObject({ status: 'running' });
      });

      it('tells an ended container from an absent one', async () => {
        const { id } = await run(commands.exit3);
        await ended(id);
        await expect(engine.exec(id, { argv: commands.output })).rejects.toMatchObject({ code: 'container-exited' });
        await engine.remove(id);
        await expect(engine.exec(id, { argv: commands.output })).rejects.toMatchObject({ code: 'container-removed' });
        await expect(engine.start(id)).rejects.toMatchObject({ code: 'container-removed' });
        await expect(engine.rename(id, 'whatever')).rejects.toMatchObject({ code: 'container-removed' });
      });
    });

    describe('what a host may lack', () => {
      const fails = (code: ErrorCode) => expect.objectContaining({ code, message: expect.stringMatching(/./) });

      it('image', async () => {
        expect(await engine.hasImage(target.image)).toBe(true);
        expect(await engine.hasImage('relight-absent:1')).toBe(false);
        await expect(engine.create('contract-image', createBody('relight-absent:1', ['true']))).rejects.toEqual(fails('image-not-found'));
      });

      it('free port', async () => {
        const HostPort = String(await freePort());
        const ports = {
          ExposedPorts: { '80/tcp': {} },
          HostConfig: { NetworkMode: 'bridge', PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort }] } },
        };
        const holder = await run(commands.forever, ports);
        const { id } = await make(commands.forever, ports);
        await expect(engine.start(id)).rejects.toEqual(fails('port-taken'));
        await engine.remove(holder.id);
        await engine.start(id);
        await engine.remove(id);
      });

      it('device', async () => {
        const Devices = [{ PathOnHost: '/dev/relight-absent', PathInContainer: '/dev/x', CgroupPermissions: 'rwm' }];
        const { id } = await make(commands.forever, { HostConfig: { Devices } });
        await expect(engine.start(id)).rejects.toEqual(fails('device-missing'));
        expect(await engine.inspect(id)).toMatchObject({ status: 'created', pid: 0 });
      });
    });

    describe('events', () => {
      it('tells of a death with its exit code, of no exec, and nothing from before', async () => {
        const early = await run(commands.exit3);
        await ended(early.id);
        const controller = new AbortController();
        const seen: EngineEvent[] = [];
        const opened = Promise.withResolvers<void>();
        const reading = (async () => {
          for await (const event of engine.events(controller.signal, opened.resolve)) seen.push(event);
        })();
        await opened.promise;
        const { id } = await run(commands.forever, { Labels: { 'relight.workload': 'w' } });
        await engine.exec(id, { argv: commands.output });
        await engine.kill(id, 'SIGKILL');
        const died = await waitFor(() => seen.find((event) => event.action === 'die'), { what: 'the event die', timeoutMs: 30_000 });
        expect(died).toMatchObject({ type: 'container', id, attributes: { exitCode: '137', 'relight.workload': 'w' } });
        expect(seen.filter((event) => event.id === id).map(({ action }) => action)).toEqual(
          expect.arrayContaining(['create', 'start', 'die']),
        );
        expect(seen.filter((event) => event.id === early.id)).toEqual([]);
        // Health checks make thousands of these, and each would wake the agent.
        expect(seen.filter((event) => event.action.startsWith('exec'))).toEqual([]);
        controller.abort();
        await reading;
      });
    });

    describe('an engine that fails', () => {
      const { promise: broken, reject: breakStream } = Promise.withResolvers<never>();
      broken.catch(() => undefined);

      it('is a matter of time, not of containers, when it is frozen', async () => {
        const { fragile, image } = target;
        const { id } = await fragile.engine.create('fragile', createBody(image, commands.forever));
        fragile.freeze();
        try {
          const timeout = { code: 'engine-timeout', recoverable: true };
          await expect(fragile.engine.inspect(id, { timeoutMs: 200 })).rejects.toMatchObject(timeout);
          await expect(fragile.engine.list({ name: 'fragile' }, { timeoutMs: 200 })).rejects.toMatchObject(timeout);
          await expect(fragile.engine.remove(id, { timeoutMs: 200 })).rejects.toMatchObject(timeout);
          await expect(fragile.engine.exec(id, { argv: commands.output }, { timeoutMs: 200 })).rejects.toMatchObject(timeout);
        } finally {
          fragile.thaw();
        }
        await fragile.engine.ping();
      });

      it('is unreachable when it is stopped, and its event stream breaks', async () => {
        const { fragile } = target;
        const opened = Promise.withResolvers<void>();
        const reading = (async () => {
          for await (const event of fragile.engine.events(new AbortController().signal, opened.resolve)) void event;
        })().catch(breakStream);
        await opened.promise;
        await fragile.stop();
        const unreachable = { code: 'engine-unreachable', recoverable: true };
        await expect(broken).rejects.toMatchObject(unreachable);
        await reading;
        await expect(fragile.engine.ping()).rejects.toMatchObject(unreachable);
        await expect(fragile.engine.inspect('fragile')).rejects.toMatchObject(unreachable);
        await expect(fragile.engine.hasImage(target.image)).rejects.toMatchObject(unreachable);
        await expect(fragile.engine.remove('fragile')).rejects.toMatchObject(unreachable);
        const again = fragile.engine.events(new AbortController().signal, () => undefined)[Symbol.asyncIterator]();
        await expect(again.next()).rejects.toMatchObject(unreachable);
      });

      it('answers again after its return, through the same object', async () => {
        await target.fragile.start();
        await target.fragile.engine.ping();
        expect((await target.fragile.engine.info()).apiVersion).toMatch(/^1\.\d+$/);
      });
    });
  });
}
