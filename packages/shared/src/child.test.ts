import { readFileSync } from 'node:fs';
import { systemClock } from './clock.ts';
import { ManualClock } from './manual-clock.ts';
import { expect, it } from 'vitest';
import { waitFor } from '../../../test/support/wait.ts';
import { runChild } from './child.ts';

const run = (text: string) => runChild({ argv: ['sh', '-c', text], clock: systemClock, timeoutMs: 60_000, outputBytesMax: 1_000 });

it('keeps the end of a long output where that is wanted, from a whole line on', async () => {
  const ask = (lines: number) =>
    runChild({ argv: ['seq', String(lines)], clock: systemClock, timeoutMs: 60_000, outputBytesMax: 1_000, outputKept: 'end' });
  const { stdout } = await ask(200_000);
  const lines = stdout.trimEnd().split('\n').map(Number);
  expect(stdout.length).toBeGreaterThan(990);
  expect(stdout.length).toBeLessThanOrEqual(1_000);
  expect(lines).toEqual(Array.from({ length: lines.length }, (_, index) => 200_001 - lines.length + index));
  expect((await ask(3)).stdout).toBe('1\n2\n3\n');
});

const isRunning = (pid: number): boolean => {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

it('gives exit code, signal and both outputs, capped, and never blocks the child on them', async () => {
  expect(await run('echo out; echo err >&2; exit 3')).toMatchObject({
    exitCode: 3,
    signal: null,
    stdout: 'out\n',
    stderr: 'err\n',
    timedOut: false,
  });
  expect(await run('kill -TERM $$')).toMatchObject({ exitCode: null, signal: 'SIGTERM' });
  const loud = await run('head -c 1000000 /dev/zero | tr "\\0" x; echo done >&2');
  expect([loud.exitCode, loud.stdout.length, loud.stderr]).toEqual([0, 1_000, 'done\n']);
});

it('kills the whole group at the deadline', async () => {
  // However long the machine takes to start and to end it.
  const clock = new ManualClock();
  let said = '';
  const running = runChild({
    argv: ['sh', '-c', 'sleep 100 & echo $!; wait'],
    clock,
    timeoutMs: 200,
    onOutput: (chunk) => void (said += chunk.toString()),
  });
  await waitFor(() => said.endsWith('\n'), { what: 'the child to run' });
  clock.advance(200);
  const result = await running;
  expect(result).toMatchObject({ timedOut: true, signal: 'SIGKILL', survivor: null });
  await waitFor(() => !isRunning(Number(result.stdout)), { what: 'its own child to be gone' });
});

it('a deadline that is due while nobody could see the end of the child is none', async () => {
  const clock = new ManualClock();
  let pid = 0;
  const running = runChild({ argv: ['echo', 'done'], clock, timeoutMs: 200, onStart: (started) => (pid = started) });
  // This process stands still until the child has ended.
  while (isRunning(pid));
  clock.advance(200);
  expect(await running).toMatchObject({ exitCode: 0, stdout: 'done\n', timedOut: false, survivor: null });
});

it('does not wait for a grandchild that keeps the pipes open', async () => {
  const result = await run('setsid sleep 1000 & echo $!');
  expect(result).toMatchObject({ exitCode: 0, timedOut: false });
  expect(isRunning(Number(result.stdout))).toBe(true);
  process.kill(Number(result.stdout), 'SIGKILL');
});

it('settles also when there is nothing to start', async () => {
  const child = (argv: [string, ...string[]]) => runChild({ argv, clock: systemClock, timeoutMs: 1_000 });
  expect((await child(['/nowhere/program'])).spawnError).toBe('ENOENT');
  expect((await child(['echo', 'a\0b'])).spawnError).toBe('ERR_INVALID_ARG_VALUE');
});

it('is over at once when its signal has aborted before', async () => {
  const result = await runChild({ argv: ['sleep', '100'], clock: systemClock, timeoutMs: 60_000, signal: AbortSignal.abort() });
  expect(result.timedOut).toBe(true);
});
