import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { workloadFixture } from '../../../test/support/specs.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { HeldInputs, type HeldInputsOptions } from './held-inputs.ts';
import { inputFiles } from './input-files.ts';

function world(given: Partial<HeldInputsOptions> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'inputs-'));
  const env = join(directory, 'secrets.env');
  const key = join(directory, 'key.json');
  const busy = join(directory, 'busy');
  writeFileSync(env, 'TOKEN=a');
  writeFileSync(key, '{}');
  mkdirSync(busy);
  const clock = new ManualClock();
  const told: (readonly [readonly string[], boolean])[] = [];
  const inputs = new HeldInputs({
    clock,
    files: () => [
      { path: env, container: true },
      { path: key, container: false },
      { path: busy, container: false },
    ],
    disks: [directory],
    resolveVars: () => null,
    onChanged: (what, container) => void told.push([what, container]),
    ...given,
  });
  /** Lets looks happen until something was told. */
  const next = (count: number): Promise<unknown> =>
    waitFor(
      () => {
        clock.advance(2_000);
        return told.length >= count;
      },
      { what: `change ${count}`, everyMs: 5 },
    );
  const looks = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) {
      await waitFor(() => clock.pendingTimers > 0, { what: 'the next look', everyMs: 1 });
      clock.advance(2_000);
    }
    await waitFor(() => clock.pendingTimers > 0, { what: 'the end of the look', everyMs: 1 });
  };
  return { env, key, busy, clock, told, inputs, next, looks };
}

test('a changed, a replaced and a removed file are noticed, each once; a busy directory is not', async () => {
  const { env, key, busy, told, inputs, next, looks } = world();
  await inputs.remember();
  inputs.set({ code: 'auth-failed', port: null }, null);
  writeFileSync(join(busy, 'x'), '');
  await looks(2);
  expect(told).toEqual([]);
  // Of another length: at the same moment, as a kernel counts the times of files, nothing else would tell.
  writeFileSync(env, 'TOKEN=other');
  await next(1);
  writeFileSync(`${key}.new`, '{}');
  renameSync(`${key}.new`, key);
  await next(2);
  rmSync(key);
  await next(3);
  await looks(2);
  expect(told).toEqual([
    [[env], true],
    [[key], false],
    [[key], false],
  ]);
  inputs.dispose();
});

test('what changes while it is tried counts, and nothing is looked at while nothing is held', async () => {
  const { env, clock, told, inputs, next } = world();
  await inputs.remember();
  expect(clock.pendingTimers).toBe(0);
  inputs.set({ code: 'version-mismatch', port: null }, null);
  writeFileSync(env, 'TOKEN=another');
  await next(1);
  inputs.set(null, null);
  expect(clock.pendingTimers).toBe(0);
  expect(told).toEqual([[[env], true]]);
});

test('a variable with a new value is noticed, and is asked for seldom', async () => {
  let asked = 0;
  let head = 'a';
  const resolveVars = (): Promise<Readonly<Record<string, string>>> => {
    asked += 1;
    return Promise.resolve({ HEAD: head, ZONE: 'z' });
  };
  const { told, inputs, next, looks } = world({ resolveVars: () => resolveVars });
  await inputs.remember();
  inputs.set({ code: 'version-mismatch', port: null }, { HEAD: 'a', ZONE: 'z' });
  await looks(10);
  expect(asked).toBe(0);
  await looks(30);
  expect(asked).toBeLessThanOrEqual(3);
  head = 'b';
  await next(1);
  expect(told).toEqual([[['variable HEAD'], false]]);
  inputs.dispose();
});

test('a port that its holder gives back is noticed', async () => {
  const { told, inputs, next, looks } = world({ files: () => [] });
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const { port } = holder.address() as AddressInfo;
  // The attempt that found it taken had begun before.
  await inputs.remember();
  inputs.set({ code: 'port-taken', port: { number: port, taken: true } }, null);
  await looks(3);
  expect(told).toEqual([]);
  await new Promise((resolve) => holder.close(resolve));
  await next(1);
  expect(told).toEqual([[[`port ${port}`], false]]);
  inputs.dispose();
});

test('a port that is free again before the first look is noticed, one that nobody was seen to have is not', async () => {
  const { told, inputs, looks } = world({ files: () => [] });
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
  const { port } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  await inputs.remember();
  inputs.set({ code: 'address-in-use', port: { number: port, taken: false } }, null);
  await looks(3);
  expect(told).toEqual([]);
  inputs.set(null, null);
  await inputs.remember();
  inputs.set({ code: 'address-in-use', port: { number: port, taken: true, network: process.pid } }, null);
  await looks(2);
  expect(told).toEqual([[[`port ${port}`], false]]);
  inputs.dispose();
});

test('which files a workload is made from', () => {
  const bind = (source: string, target: string) => ({ type: 'bind' as const, source, target, readOnly: true });
  const spec = workloadFixture(
    {
      mounts: [
        {
          name: 'b',
          type: 'gcsfuse',
          bucket: 'b',
          target: '/m',
          onlyDir: null,
          implicitDirs: false,
          options: ['--key-file=/keys/sa.json'],
          timeoutMs: 1,
          check: { intervalMs: 1, timeoutMs: 1, failures: 1 },
        },
      ],
    },
    {
      envFile: ['/etc/secrets.env'],
      environment: { GOOGLE_APPLICATION_CREDENTIALS: '/keys/other.json', URL: 'http://x/keys' },
      volumes: [bind('/srv/keys', '/keys'), bind('/etc/secrets.env', '/run/env')],
    },
  );
  expect(inputFiles(spec)).toEqual([
    { path: '/srv/keys/sa.json', container: false },
    { path: '/srv/keys/other.json', container: false },
    { path: '/etc/secrets.env', container: true },
    { path: '/srv/keys', container: false },
  ]);
});
