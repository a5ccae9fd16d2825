import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@relight/shared/clock';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/wait.ts';
import type { DependencySpec, VarSpec } from '../config/spec.ts';
import { prepare, refresh, resolveVars } from './prepare.ts';
import { readStat } from './proc.ts';
import type { StageContext } from './stage.ts';

const context = (signal = new AbortController().signal) => ({ clock: systemClock, signal });
const run = (name: string, text: string, timeoutMs = 60_000): VarSpec => ({ name, run: { text }, timeoutMs });

it('resolves in order, each with the earlier values in its environment, byte for byte, without the last newline', async () => {
  const specs: VarSpec[] = [
    { name: 'A', value: "it's $B" },
    run('B', 'printf "  <%s>\\n\\n" "$A"'),
    { name: 'C', run: { argv: ['printenv', 'B'] }, timeoutMs: 60_000 },
  ];
  expect(await resolveVars(specs, context())).toEqual({ A: "it's $B", B: "<it's $B>", C: "<it's $B>" });
});

it.each([
  [
    'exit code and what stderr said last',
    run('HEAD', 'echo value; echo one >&2; echo two >&2; exit 3'),
    'variable HEAD: exit code 3: one | two',
  ],
  [
    'a program that is not there',
    { name: 'X', run: { argv: ['/nowhere/x'] }, timeoutMs: 60_000 },
    'variable X: /nowhere/x cannot be started (ENOENT)',
  ],
  ['a NUL character', run('N', String.raw`printf 'a\0b'`), 'variable N: its output holds a NUL character'],
  ['a signal', run('K', 'kill -9 $$'), 'variable K: killed by SIGKILL'],
] satisfies [string, VarSpec, string][])('fails with %s', async (_, spec, message) => {
  await expect(resolveVars([spec], context())).rejects.toMatchObject({ code: 'variable-failed', message });
});

it('fails with a deadline, children included', async () => {
  const begun = join(mkdtempSync(join(tmpdir(), 'relight-variable-')), 'begun');
  const clock = new ManualClock();
  const slow = run('SLOW', `echo begun >&2; sleep 5001 & echo $! > ${begun}; wait`, 150);
  const resolving = resolveVars([slow], { clock, signal: new AbortController().signal });
  const failed = resolving.catch((error: unknown) => error);
  const pid = await waitFor(() => (existsSync(begun) && Number(readFileSync(begun, 'utf8'))) || null, { what: 'the command to begin' });
  clock.advance(150);
  expect(await failed).toMatchObject({ code: 'variable-failed', message: 'variable SLOW: no result within 150 ms: begun' });
  await waitFor(() => readStat('/proc', pid) === null, { what: 'its child to be gone' });
});

it('does not put a value into a message', async () => {
  const failing = resolveVars([{ name: 'TOKEN', value: 'hunter2' }, run('X', 'echo failed >&2; exit 1')], context());
  await expect(failing).rejects.toMatchObject({ message: 'variable X: exit code 1: failed' });
});

it('ends with its signal', async () => {
  const abort = new AbortController();
  const pending = resolveVars([run('SLOW', 'sleep 5002')], context(abort.signal));
  abort.abort();
  await expect(pending).rejects.toMatchObject({ code: 'cancelled' });
});

it('asks what is down with the values it has, as long as resolving anew would take too much; what answers gets fresh ones', async () => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  let resolved = 0;
  const ask = (known: string, at: number) =>
    prepare({
      clock: { monotonic: () => at, now: () => at, after: systemClock.after.bind(systemClock) },
      signal: new AbortController().signal,
      earlier: { at: 0, tookMs: 1_000 },
      vars: { HEAD: known },
      agent: { vars: [{ name: 'HEAD', value: `127.0.0.1:${port}` }] },
      spec: { dependsOn: [{ kind: 'tcp', address: '${HEAD}', timeoutMs: 60_000 }] },
      setVars: () => (resolved += 1),
      progress: () => null,
    } as unknown as StageContext);
  await expect(ask('127.0.0.1:1', 8_999)).rejects.toMatchObject({ code: 'dependency-down' });
  expect(resolved).toBe(0);
  expect(await ask('127.0.0.1:1', 9_000)).toEqual({ kind: 'prepare' });
  expect(await ask(`127.0.0.1:${port}`, 100)).toEqual({ kind: 'prepare' });
  expect(resolved).toBe(2);
  await new Promise((resolve) => void server.close(resolve));
});

it('asks every dependency once and says which one is down, and why', async () => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  let vars = {};
  const ask = (dependsOn: readonly DependencySpec[]) =>
    prepare({
      ...context(),
      agent: { vars: [{ name: 'HEAD', value: '127.0.0.1' }] },
      spec: { dependsOn },
      setVars: (values: object) => (vars = values),
      progress: () => null,
    } as unknown as StageContext);
  const tcp: DependencySpec = { kind: 'tcp', address: `\${HEAD}:${port}`, timeoutMs: 60_000 };
  expect(await ask([tcp])).toEqual({ kind: 'prepare' });
  expect(vars).toEqual({ HEAD: '127.0.0.1' });
  await new Promise((resolve) => void server.close(resolve));
  await expect(ask([tcp])).rejects.toMatchObject({ code: 'dependency-down', message: `tcp 127.0.0.1:${port}: connection refused` });
  const http: DependencySpec = { kind: 'http', url: `http://\${HEAD}:${port}/x`, timeoutMs: 60_000 };
  await expect(ask([http])).rejects.toMatchObject({ message: `http http://127.0.0.1:${port}/x: connection refused` });
});

it('says when nothing of it can be different later: no command, no dependency', async () => {
  const ask = (vars: readonly VarSpec[], dependsOn: readonly DependencySpec[] = []) =>
    prepare({ ...context(), agent: { vars }, spec: { dependsOn }, setVars: () => null, progress: () => null } as unknown as StageContext);
  expect(await ask([{ name: 'HEAD', value: '10.0.0.1' }])).toEqual({ kind: 'prepare', fixed: true });
  expect(await ask([run('HEAD', 'echo 10.0.0.1')])).toEqual({ kind: 'prepare' });
});

it('asked once more, it tells which variable has changed, what was made with the earlier one, and no value', async () => {
  const events: { severity: string; message: string; data: object }[] = [];
  let vars = {};
  const again = {
    ...context(),
    vars: { HEAD: '10.0.0.1', BUCKET: 'one', SAME: '1' },
    agent: { vars: [run('HEAD', 'echo 10.0.0.2'), run('BUCKET', 'echo two'), run('SAME', 'echo 1')] },
    spec: { dependsOn: [], mounts: [{ name: 'data', bucket: '${BUCKET}' }], setup: [] },
    setVars: (values: object) => (vars = values),
    progress: () => null,
    emit: (event: (typeof events)[number]) => events.push(event),
  } as unknown as StageContext;
  expect(await refresh(again)).toEqual({ kind: 'refresh' });
  expect(vars).toEqual({ HEAD: '10.0.0.2', BUCKET: 'two', SAME: '1' });
  expect(events.map(({ severity, data }) => [severity, data])).toEqual([
    ['info', { variable: 'HEAD', usedInside: false }],
    ['warning', { variable: 'BUCKET', usedInside: true }],
  ]);
  expect(JSON.stringify(events)).not.toContain('10.0.0.2');
});
