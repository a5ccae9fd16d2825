import { systemClock } from '@relight/shared/clock';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import { contractCommands as commands, engineContract } from '../integration/engine-contract.ts';
import { createBody } from './create-body.ts';
import { FakeEngine } from './fake-engine.ts';
import type { ContainerScript, ExecScript } from './fake-container.ts';

const key = (argv: readonly string[] | undefined): string => (argv ?? []).join(' ');

const containers: Readonly<Record<string, ContainerScript>> = {
  [key(commands.exit3)]: { runForMs: 1, exitCode: 3 },
  [key(commands.obedient)]: { onTerm: 5 },
  [key(commands.greedy)]: { runForMs: 1, exitCode: 137, oomKilled: true },
};

const execs: Readonly<Record<string, ExecScript>> = {
  [key(commands.output)]: { exitCode: 7, stdout: 'out', stderr: 'err' },
  [key(commands.noisy)]: { stdout: `${'x'.repeat(64 * 1024 - 4)}END\n` },
  [key(commands.slow)]: { durationMs: 30_000 },
  [key(commands.begun)]: { durationMs: 30_000 },
  [key(commands.obeys)]: {},
  [key(commands.hasBegun)]: {},
  [key(commands.absent)]: { error: 'exec-failed' },
};

const open = (): FakeEngine =>
  new FakeEngine({
    clock: systemClock,
    container: ({ Cmd, HostConfig }) => ({
      ...containers[key(Cmd)],
      ...(HostConfig.Devices === undefined ? {} : { startError: 'device-missing' }),
    }),
    exec: ({ argv, env }) => (key(argv) === key(commands.environment) ? { stdout: env?.['NAME'] ?? '' } : execs[key(argv)]),
  });

engineContract('the fake engine', () => {
  const fragile = open();
  return Promise.resolve({
    engine: open(),
    image: 'fake:latest',
    fragile: {
      engine: fragile,
      stop: () => Promise.resolve(fragile.goDown()),
      start: () => Promise.resolve(fragile.goUp()),
      freeze: () => fragile.freeze(),
      thaw: () => fragile.thaw(),
    },
    dispose: () => Promise.resolve(),
  });
});

it('refuses a command that no test has described', async () => {
  const engine = open();
  const { id } = await engine.create('a', createBody('fake:latest', ['x']));
  await engine.start(id);
  await expect(engine.exec(id, { argv: ['rm', '-rf', '/'] })).rejects.toThrow('no script for the command ["rm","-rf","/"]');
});

it('fails calls as often as asked, and says which were made', async () => {
  const engine = open();
  engine.fail('create', 'disk-full', 2);
  const create = () => engine.create('a', createBody('fake:latest', ['x']));
  await expect(create()).rejects.toMatchObject({ code: 'disk-full' });
  await expect(create()).rejects.toMatchObject({ code: 'disk-full' });
  const { id } = await create();
  engine.fail('inspect', 'engine-timeout', Infinity);
  await expect(engine.inspect(id)).rejects.toMatchObject({ code: 'engine-timeout' });
  engine.heal('inspect');
  expect(await engine.inspect(id)).toMatchObject({ name: 'a' });
  expect(engine.calls).toEqual(['create a', 'create a', 'create a', `inspect ${id}`, `inspect ${id}`]);
});

it('lives on the clock that it is given', async () => {
  const clock = new ManualClock();
  const engine = new FakeEngine({ clock, container: () => ({ runForMs: 5_000, exitCode: 9 }) });
  const { id } = await engine.create('a', createBody('fake:latest', ['x']));
  await engine.start(id);
  clock.advance(4_999);
  expect(await engine.inspect(id)).toMatchObject({ status: 'running' });
  clock.advance(1);
  expect(await engine.inspect(id)).toMatchObject({ status: 'exited', exitCode: 9, finishedAt: clock.now() });
});
