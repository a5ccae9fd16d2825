/** What one operation does, each on a real container: create, start, retire, setup, process. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SetupStep, WorkloadSpec } from '@relight/agent/config/spec';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { createBody } from '../support/create-body.ts';
import { listProcesses } from '../support/processes.ts';
import { type Bench, type BenchOptions, startBench } from '../support/stage-bench.ts';
import { waitFor } from '../support/wait.ts';

const shared = { engineSocket: inject('engineSocket'), image: inject('engineImage') };
let bench: Bench;
const directories: string[] = [];
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** On the host, readable for every user. */
function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'relight-test-'));
  chmodSync(directory, 0o755);
  directories.push(directory);
  return directory;
}

const start = async (more: Partial<BenchOptions> = {}): Promise<void> => {
  bench = await startBench({ ...shared, ...more });
};
const step = (text: string, more: Partial<SetupStep> = {}): SetupStep => ({
  kind: 'step',
  name: 'step',
  run: { text },
  optional: false,
  timeoutMs: 30_000,
  retry: { attempts: 1, delayMs: 50 },
  verify: null,
  ...more,
});
const setup = (verifyFirst = false) => bench.op({ kind: 'setup', index: 0, run: bench.run('setup', 'step'), verifyFirst });
const inside = async (...argv: string[]): Promise<string> => (await bench.engine.exec(bench.containerId, { argv })).stdout;
const alive = (commandLine: string): number =>
  listProcesses().filter(({ cgroup, cmdline }) => cgroup.includes(bench.containerId) && cmdline.join(' ').trim() === commandLine).length;
const kinds = (): string[] => bench.events.map(({ kind }) => kind);

describe('create', () => {
  it('passes the contents of env_file on, and keeps them out of labels', async () => {
    const file = join(temporary(), 'secrets.env');
    writeFileSync(file, 'TOKEN=hunter22\n');
    await start({ container: { envFile: [file] } });
    await bench.up();
    expect(await inside('sh', '-c', 'echo "$TOKEN"')).toBe('hunter22\n');
    expect(JSON.stringify((await bench.engine.inspect(bench.containerId))?.labels)).not.toContain('hunter22');
  });

  it('takes over what a crash between create and record has left', async () => {
    await start();
    const first = await bench.op({ kind: 'create', generation: 1 });
    const again = await bench.op({ kind: 'create', generation: 1 });
    expect(again.containerId).toBe(first.containerId);
    await expect(bench.op({ kind: 'create', generation: 2 })).rejects.toMatchObject({ code: 'name-conflict', recoverable: true });
  });

  it('says whose the name is', async () => {
    await start();
    const { name } = bench.spec.container;
    const foreign = await bench.engine.create(name, createBody(shared.image, ['sleep', '1']));
    await expect(bench.op({ kind: 'create', generation: 1 })).rejects.toMatchObject({
      code: 'name-conflict',
      recoverable: false,
      message: expect.stringContaining(`a container that Relight does not manage (${foreign.id.slice(0, 12)}`) as string,
    });
    await bench.engine.remove(foreign.id);
    const other = await bench.engine.create(name, createBody(shared.image, ['sleep', '1'], { Labels: { 'relight.agent': 'elsewhere' } }));
    await expect(bench.op({ kind: 'create', generation: 1 })).rejects.toMatchObject({
      message: expect.stringContaining('another Relight agent (elsewhere') as string,
    });
    await bench.engine.remove(other.id);
  });

  it('asks for a pull when the image is not here, unless that is forbidden', async () => {
    await start({ container: { image: 'relight-absent:1', pullPolicy: 'missing' } });
    await expect(bench.op({ kind: 'create', generation: 1 })).rejects.toMatchObject({ code: 'image-not-found', data: { pull: true } });
    await bench[Symbol.asyncDispose]();
    await start({ container: { image: 'relight-absent:1', pullPolicy: 'never' } });
    await expect(bench.op({ kind: 'create', generation: 1 })).rejects.toMatchObject({
      code: 'image-not-found',
      message: expect.stringContaining('never') as string,
    });
  });
});

describe('start', () => {
  it('says what the engine says', async () => {
    await start({ container: { command: ['/nowhere'], init: false } });
    const { containerId } = await bench.op({ kind: 'create', generation: 1 });
    await expect(bench.op({ kind: 'start', containerId })).rejects.toMatchObject({ code: 'start-failed' });
  });

  it('whatever needs a living container says how it died, or that it is gone', async () => {
    await start({ container: { command: ['sh', '-c', 'exit 3'], init: false } });
    const { containerId } = await bench.op({ kind: 'create', generation: 1 });
    await bench.engine.start(containerId);
    await waitFor(async () => (await bench.engine.inspect(containerId))?.exitCode === 3, { what: 'the end', timeoutMs: 30_000 });
    const run = bench.run('process');
    await expect(bench.start(run, 'true')).rejects.toMatchObject({ code: 'container-exited' });
    await bench.engine.remove(containerId);
    await expect(bench.start(run, 'true')).rejects.toMatchObject({ code: 'container-removed' });
  });
});

describe('retire', () => {
  it('frees the name, ends the container, and may be repeated', async () => {
    await start();
    await bench.up();
    const asName = `${bench.spec.container.name}-old-1`;
    const op = { kind: 'retire', containerId: bench.containerId, asName, graceful: false } as const;
    await bench.op(op);
    expect(await bench.engine.inspect(bench.containerId)).toMatchObject({ name: asName, status: 'exited', pid: 0 });
    await bench.op(op);
    const old = bench.containerId;
    await bench.up();
    // The old name is taken by an earlier one of ours, which goes.
    await bench.op({ ...op, containerId: bench.containerId });
    expect(await bench.engine.inspect(old)).toBeNull();
    await bench.engine.remove(bench.containerId);
    await bench.op({ ...op, containerId: bench.containerId });
  });

  it('gives the container its time when asked to', async () => {
    const command = ['sh', '-c', 'trap "exit 7" TERM; touch /tmp/listens; while :; do sleep 0.05; done'];
    await start({ container: { command, stopGracePeriodMs: 10_000 } });
    await bench.up();
    await inside('sh', '-c', 'until test -e /tmp/listens; do sleep 0.05; done');
    await bench.op({ kind: 'retire', containerId: bench.containerId, asName: `${bench.spec.name}-old`, graceful: true });
    expect(await bench.engine.inspect(bench.containerId)).toMatchObject({ exitCode: 7 });
  });
});

describe('setup', () => {
  const withStep = async (only: SetupStep, more: Partial<WorkloadSpec> = {}): Promise<void> => {
    await start({ setup: [only], ...more });
    await bench.up();
  };

  it('reports begin and end', async () => {
    await withStep(step('echo done'));
    expect(await setup()).toEqual({ kind: 'setup', skipped: false, failedOptional: null });
    expect(kinds()).toEqual(['setup.step-started', 'setup.step-done']);
  });

  it('tries again as often as allowed, with the last line in every message', async () => {
    await withStep(
      step('echo x >> /tmp/count; echo "bad token" >&2; test $(wc -l < /tmp/count) -ge 3', { retry: { attempts: 3, delayMs: 20 } }),
    );
    await setup();
    expect(kinds()).toEqual([
      'setup.step-started',
      'setup.step-failed',
      'setup.step-started',
      'setup.step-failed',
      'setup.step-started',
      'setup.step-done',
    ]);
    expect(bench.events[1]).toMatchObject({
      severity: 'warning',
      message: 'setup "step": exit code 1: bad token (attempt 1 of 3)',
      data: { attempt: 1, attempts: 3, exitCode: 1, lastLine: 'bad token' },
    });
    await withStepAgain(step('echo "always bad"; exit 9', { retry: { attempts: 2, delayMs: 20 } }));
    await expect(setup()).rejects.toMatchObject({ code: 'setup-failed', message: 'setup "step": exit code 9: always bad' });
    expect(bench.events.at(-1)).toMatchObject({ severity: 'error', data: { attempt: 2 } });
  });

  async function withStepAgain(only: SetupStep): Promise<void> {
    await bench[Symbol.asyncDispose]();
    await withStep(only);
  }

  it('ends everything of a step that takes too long', async () => {
    await withStep(step('setsid sleep 6001 & echo begun; sleep 6002', { timeoutMs: 2_000 }));
    await expect(setup()).rejects.toMatchObject({ code: 'setup-failed', message: 'setup "step": not done within 2.0 s: begun' });
    expect(alive('sleep 6001') + alive('sleep 6002')).toBe(0);
  });

  it('an optional failure is reported and no failure of the operation', async () => {
    await withStep(step('echo sorry; exit 2', { optional: true }));
    expect(await setup()).toEqual({ kind: 'setup', skipped: false, failedOptional: 'setup "step": exit code 2: sorry' });
    expect(bench.events.at(-1)).toMatchObject({ kind: 'setup.step-failed', severity: 'warning' });
  });

  it('is not done before its verify command passes', async () => {
    await withStep(step('true', { verify: { text: 'echo "no marker"; test -e /tmp/marker' } }));
    await expect(setup()).rejects.toMatchObject({ code: 'setup-unverified', message: expect.stringContaining('no marker') as string });
  });

  it('is skipped when verify passes beforehand, and done when not', async () => {
    await withStep(step('echo ran >> /tmp/ran; touch /tmp/marker', { verify: { text: 'test -e /tmp/marker' } }));
    expect(await setup(true)).toMatchObject({ skipped: false });
    expect(await setup(true)).toMatchObject({ skipped: true });
    expect(await inside('cat', '/tmp/ran')).toBe('ran\n');
  });

  it('hands the command of the field to gcloud as bash would', async () => {
    const bin = temporary();
    writeFileSync(join(bin, 'gcloud'), '#!/bin/sh\nprintf "%s\\0" "$@" > /tmp/argv\necho key\n');
    chmodSync(join(bin, 'gcloud'), 0o755);
    const text =
      'mkdir -p /home/ray/.ssh && gcloud compute project-info describe --format="value(commonInstanceMetadata.items[?key==\\"ssh-keys\\"].value)" > /home/ray/.ssh/authorized_keys && chmod 600 /home/ray/.ssh/authorized_keys';
    await start({ setup: [step(text)], container: { volumes: [{ type: 'bind', source: bin, target: '/usr/local/bin', readOnly: true }] } });
    await bench.up();
    await setup();
    expect((await inside('cat', '/tmp/argv')).split('\0')).toEqual([
      'compute',
      'project-info',
      'describe',
      '--format=value(commonInstanceMetadata.items[?key=="ssh-keys"].value)',
      '',
    ]);
    expect(await inside('cat', '/home/ray/.ssh/authorized_keys')).toBe('key\n');
    expect(await inside('stat', '-c', '%a', '/home/ray/.ssh/authorized_keys')).toBe('600\n');
  });
});

describe('process', () => {
  const process = (text: string, before: string | null = null): Partial<BenchOptions> => ({
    process: { run: { text }, before: before === null ? null : { text: before }, stopTimeoutMs: 20_000, maxRuntimeMs: null },
  });

  it('purges what the last run left, runs before, then starts', async () => {
    await start({ ...process('exec sleep 7002', 'cat /tmp/order; test ! -e /tmp/fail && echo before >> /tmp/order') });
    await bench.up();
    const earlier = bench.run('process');
    await bench.exited(await bench.start(earlier, 'echo earlier > /tmp/order; setsid sleep 7001 & sleep 0.1'));
    await waitFor(() => alive('sleep 7001') === 1, { what: 'what is left' });
    const { run } = await bench.op({ kind: 'process', run: bench.run('process'), leftovers: [earlier], remedy: null });
    expect(alive('sleep 7001')).toBe(0);
    expect(await inside('cat', '/tmp/order')).toBe('earlier\nbefore\n');
    await waitFor(() => alive('sleep 7002') === 1, { what: 'the process' });
    const { runs } = await bench.op({ kind: 'adopt', containerId: bench.containerId });
    expect(runs).toEqual([run]);
    await bench.op({ kind: 'stop-runs', runs: [run], graceful: true });
    expect(alive('sleep 7002')).toBe(0);
    expect(await bench.exited(run)).toMatchObject({ exitCode: 143, signal: 'SIGTERM' });
  });

  it('after a stale session: it is set aside with what it holds, others are left alone, then it starts', async () => {
    await start({ ...process('exec sleep 7004') });
    await bench.up();
    const made =
      'mkdir -p /tmp/ray/session_old /tmp/ray/session_other; echo log > /tmp/ray/session_old/x; ln -s /tmp/ray/session_old /tmp/ray/session_latest';
    await bench.exited(await bench.start(bench.run('setup', 'make'), made));
    const run = bench.run('process');
    await bench.op({ kind: 'process', run, leftovers: [], remedy: 'stale-session' });
    await waitFor(() => alive('sleep 7004') === 1, { what: 'the process' });
    expect(await inside('ls', '/tmp/ray')).toBe('session_other\nstale_session\n');
    expect(await inside('cat', '/tmp/ray/stale_session/x')).toBe('log\n');
    await bench.op({ kind: 'stop-runs', runs: [run], graceful: false });
    // Nothing is there to set aside: no failure.
    await bench.op({ kind: 'process', run: bench.run('process'), leftovers: [], remedy: 'stale-session' });
  });

  it('is not started when before fails', async () => {
    await start({ ...process('touch /tmp/started', 'echo "cannot stop ray" >&2; exit 5') });
    await bench.up();
    await expect(bench.op({ kind: 'process', run: bench.run('process'), leftovers: [], remedy: null })).rejects.toMatchObject({
      code: 'process-exited',
      message: '"before" failed: exit code 5: cannot stop ray',
    });
    expect(await inside('ls', '/tmp')).toBe('');
  });

  it('gives its variables and nothing of the agent to the process', async () => {
    await start({ ...process('env > /tmp/env; exec sleep 7003'), agent: { vars: [{ name: 'HEAD', value: 'a b\n$c' }] } });
    await bench.up();
    await bench.op({ kind: 'prepare' });
    const run = bench.run('process');
    await bench.op({ kind: 'process', run, leftovers: [], remedy: null });
    await waitFor(() => alive('sleep 7003') === 1, { what: 'the process' });
    const environment = await inside('cat', '/tmp/env');
    expect(environment).toContain('HEAD=a b\n$c\n');
    expect(environment).toContain(`RELIGHT_RUN=${run.runId}\n`);
    expect(environment).not.toContain('VITEST');
  });
});
