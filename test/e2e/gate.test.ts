/** The level of the host: nothing is recovered while the host is not fit for it, and on a quiet host that costs nothing. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { holdLock } from '../support/lock-holder.ts';
import { freePort } from '../support/ports.ts';
import { eventually, waitFor } from '../support/wait.ts';

let lab: Lab;
const image = inject('engineImage');
/** What somebody installs beside the tests is none of their business: they have a lock of their own. */
const ownGate = { package_manager_idle: false, pending_reboot: 'report', quiet_for: '3s', timeout: '60s' };

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(() => lab?.dispose());

const scratch = (): string => mkdtempSync(join(lab.directory, 'gate-'));
const restarts = async (worker: Bystander): Promise<number> => {
  const { process, container } = (await worker.status()).restarts;
  return process + container;
};
const statusText = async (worker: Bystander): Promise<string> => (await lab.agentCommand(worker.agent, 'status')).stdout;

/** Of the gate and what belongs to it: other watchers may have their own to say of this machine. */
const conditions = async (host: string) =>
  ((await lab.fleet.host(host))?.conditions ?? []).filter(({ name }) =>
    ['package-manager-busy', 'host-setup-failed', 'hands-off', 'hands-off-expired', 'orphan-container', 'gate'].includes(name),
  );

async function kill(worker: Bystander): Promise<void> {
  await lab.engine.remove((await worker.container()).id);
}

describe('a lock', () => {
  test('held: waits with the name of its holder and spends nothing; released: ready', async () => {
    const lockFile = join(scratch(), 'lock-frontend');
    const lock = await holdLock(lockFile);
    const worker = await Bystander.start(lab, 'locked', image, {}, {}, { gate: { ...ownGate, lock_files: [lockFile] } });
    const reason = `the host's gate: apt-get (pid ${lock.pid}) holds ${lockFile}`;
    await waitFor(async () => (await worker.status().catch(() => null))?.reason === reason, { what: 'the reason', timeoutMs: 20_000 });
    expect(await worker.status()).toMatchObject({ phase: 'waiting', generation: 0, attempt: 1 });
    expect((await lab.fleet.host('locked'))?.gate).toMatchObject({
      state: 'waiting',
      deadlineAt: expect.any(String),
      conditions: expect.arrayContaining([
        { name: 'package manager', ok: false, message: `apt-get (pid ${lock.pid}) holds ${lockFile}` },
        { name: 'boot', ok: true, message: expect.stringContaining('up for') },
      ]),
    });
    expect(await statusText(worker)).toMatch(new RegExp(`gate +waiting for .* more: the host's gate: apt-get \\(pid ${lock.pid}\\)`));
    expect((await lab.relight('host', 'locked')).stdout).toContain(`WAITS: apt-get (pid ${lock.pid}) holds ${lockFile}`);
    await lock.release();
    await worker.phase('ready');
    await worker.next(0, 'workload.ready');
    await worker.caughtUp();
    const events = await worker.events();
    expect(events.filter(({ kind }) => kind === 'host.gate-waiting')).toMatchObject([
      { severity: 'info', data: { gate: 'waiting', deadlineAt: expect.any(String), conditions: expect.any(Array) } },
    ]);
    expect(events.filter(({ kind }) => kind === 'restart.scheduled')).toEqual([]);
    expect(await restarts(worker)).toBe(0);
    expect((await lab.fleet.host('locked'))?.gate).toMatchObject({ state: 'open', deadlineAt: null });
  });

  test('a container dies on a quiet host: the gate costs nothing; and a lock taken just before is seen', async () => {
    const lockFile = join(scratch(), 'lock');
    const worker = await Bystander.ready(lab, 'quiet', image, {}, { gate: { ...ownGate, quiet_for: '20s', lock_files: [lockFile] } });
    const mark = await worker.mark();
    await kill(worker);
    const { data } = await worker.next(mark, 'workload.ready');
    // Less than the quiet time alone: that was not waited for.
    expect(data['downMs']).toBeLessThan(20_000);
    expect(await worker.kindsSince(mark)).not.toContain('host.gate-waiting');

    await worker.caughtUp();
    await using lock = await holdLock(lockFile, 'flock', 'puppet');
    const before = await restarts(worker);
    await kill(worker);
    // It waits with the reason of its death while the host is asked.
    const reason = `the host's gate: puppet (pid ${lock.pid}) holds ${lockFile}`;
    const waiting = await waitFor(
      async () => {
        const status = await worker.status();
        return status.phase === 'waiting' && status.reason === reason && status;
      },
      { timeoutMs: 20_000, what: 'the gate to be the reason' },
    );
    // The death is counted, and the waiting adds nothing to it.
    expect(await restarts(worker)).toBe(before + 1);
    expect(waiting.nextAttemptAt).toBeNull();
  });

  test('at the deadline it goes on without, and says what it has not waited for', async () => {
    const lockFile = join(scratch(), 'lock');
    await using lock = await holdLock(lockFile, 'write', 'dpkg');
    const gate = { ...ownGate, quiet_for: '500ms', timeout: '2s', lock_files: [lockFile] };
    const worker = await Bystander.ready(lab, 'impatient', image, {}, { gate });
    const waived = (await worker.events()).find(({ data }) => Array.isArray(data['waived']));
    expect(waived).toMatchObject({
      kind: 'host.notice',
      severity: 'warning',
      message: `the host's gate has waited for 2.0 s and goes on without: dpkg (pid ${lock.pid}) holds ${lockFile}`,
      data: { waived: ['package manager'] },
    });
    // The same cause costs the next recovery nothing.
    const mark = await worker.mark();
    await kill(worker);
    await worker.next(mark, 'workload.ready');
    expect(await worker.kindsSince(mark)).not.toContain('host.gate-waiting');
    expect(await conditions('impatient')).toMatchObject([{ name: 'package-manager-busy', severity: 'warning' }]);
  });
});

test('a TCP target that does not answer is waited for; when it does, and is quiet, the workload begins', async () => {
  const server: Server = createServer((socket) => socket.destroy());
  const listen = (port: number): Promise<void> => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  const port = await freePort();
  const gate = { ...ownGate, quiet_for: '500ms', tcp: [`127.0.0.1:${port}`] };
  const worker = await Bystander.start(lab, 'cut-off', image, {}, {}, { gate });
  await worker.phase('waiting');
  await waitFor(async () => (await worker.status()).reason === `the host's gate: tcp 127.0.0.1:${port}: connection refused`, {
    what: 'the reason',
    timeoutMs: 30_000,
  });
  await listen(port);
  try {
    await worker.phase('ready');
    expect(await restarts(worker)).toBe(0);
  } finally {
    await close();
  }
});

describe('host commands', () => {
  /** As after a reboot: whatever the agent remembers is of another boot. */
  function rebootOf(worker: Bystander): void {
    for (const [name, pattern] of [
      ['boot-id', /^.*$/s],
      ['host-setup.json', /(?<="bootId":")[^"]*/],
      ['conditions.json', /(?<="bootId":")[^"]*/],
    ] as const) {
      const file = join(worker.agent.stateDir, name);
      if (existsSync(file)) writeFileSync(file, readFileSync(file, 'utf8').replace(pattern, 'another-boot'));
    }
  }

  test('run once per boot, before any workload; a reboot spends no budget and is counted', async () => {
    const file = join(scratch(), 'ran');
    const setup = [{ name: 'note', run: `echo "$PPID" >> ${file}` }];
    const worker = await Bystander.start(lab, 'booted', image, {}, {}, { gate: { ...ownGate, quiet_for: '200ms' }, setup });
    await worker.phase('ready');
    await worker.next(0, 'workload.ready');
    const lines = (): string[] => readFileSync(file, 'utf8').split('\n').slice(0, -1);
    expect(lines()).toHaveLength(1);
    const kinds = (await worker.events()).map(({ kind }) => kind);
    expect(kinds.indexOf('setup.step-done')).toBeLessThan(kinds.indexOf('container.created'));
    expect(kinds.indexOf('setup.step-done')).toBeGreaterThan(-1);

    await worker.agent.service.stop();
    await worker.agent.service.start();
    await waitFor(async () => (await worker.control.status().catch(() => null))?.workloads[0]?.phase === 'ready', {
      what: 'the agent to be back',
      timeoutMs: 30_000,
    });
    expect(lines()).toHaveLength(1);

    // The machine goes down, and everything with it.
    await worker.caughtUp();
    const { generation } = await worker.status();
    await worker.agent.service.stop();
    await lab.engine.stop((await worker.container()).id, 0);
    rebootOf(worker);
    const mark = await worker.mark();
    await worker.agent.service.start();
    await worker.next(mark, 'host.booted');
    await worker.next(mark, 'workload.ready');
    await worker.caughtUp();
    expect(lines()).toHaveLength(2);
    expect(await worker.status()).toMatchObject({ generation: generation + 1, restarts: { process: 0, container: 0, host: 1 } });
    const since = await worker.since(mark);
    expect(since.find(({ kind }) => kind === 'container.died')).toMatchObject({ severity: 'warning', data: { code: 'host-rebooted' } });
    expect(since.find(({ kind }) => kind === 'restart.scheduled')).toMatchObject({
      data: { countsAsFailure: false, code: 'host-rebooted' },
    });
    const inOrder = since.map(({ kind }) => kind);
    expect(inOrder.indexOf('setup.step-done')).toBeLessThan(inOrder.indexOf('container.created'));
  });

  test('one that fails holds every workload back, visibly; with its cause mended it goes on at once', async () => {
    const flag = join(scratch(), 'flag');
    const setup = [
      { name: 'may fail', run: 'echo nobody minds; exit 9', optional: true },
      { name: 'driver', run: `echo loading; test -e ${flag} || { echo no driver here >&2; exit 3; }` },
    ];
    const worker = await Bystander.start(lab, 'driverless', image, {}, {}, { gate: { ...ownGate, quiet_for: '0s' }, setup });
    const waiting = await waitFor(
      async () => {
        const status = await worker.status().catch(() => undefined);
        return status?.reason.includes('no driver here') === true && status;
      },
      { what: 'the reason', timeoutMs: 20_000 },
    );
    expect(waiting).toMatchObject({ phase: 'waiting', generation: 0 });
    expect(waiting.reason).toMatch(/^the host's gate: host setup "driver": exit code 3: loading \| no driver here; next try at /);
    const failed = (step: string) => worker.next(0, 'setup.step-failed', ({ data }) => data['step'] === step);
    expect(await failed('driver')).toMatchObject({
      severity: 'error',
      workload: null,
      data: { code: 'setup-failed', exitCode: 3, lastLines: ['loading', 'no driver here'], level: 'host' },
    });
    expect(await failed('may fail')).toMatchObject({ severity: 'warning' });
    expect(await conditions('driverless')).toContainEqual(
      expect.objectContaining({ name: 'host-setup-failed', subject: 'driver', severity: 'error' }),
    );
    writeFileSync(flag, '');
    expect((await lab.agentCommand(worker.agent, 'resume')).code).toBe(0);
    await worker.phase('ready');
    await worker.next(0, 'workload.ready');
    await waitFor(async () => (await conditions('driverless')).length === 0, { what: 'the condition to be over', timeoutMs: 30_000 });
    // What they printed is a log of the host, each execution in the order of its start. It may have been tried again before all that was read.
    const inVain = (await worker.events()).filter(({ kind, data }) => kind === 'setup.step-failed' && data['step'] === 'driver');
    const executions = inVain.flatMap(() => ['loading', 'no driver here']);
    await eventually(
      async () => {
        const entries = await lab.fleet.logs({ host: 'driverless', workload: '@host', source: 'setup' });
        const said = entries.flatMap((entry) => ('line' in entry ? [entry.line] : []));
        expect(said).toEqual(['nobody minds', ...executions, 'loading']);
      },
      { what: 'the output of the host commands', timeoutMs: 30_000 },
    );
    const tail = await lab.relight('tail', 'driverless/@host', '--source', 'setup', '--no-follow');
    expect(tail.stdout).toMatch(/driverless\/@host setup +\| no driver here/);
    expect(tail.stderr).not.toContain('nothing is known of');
  });
});

test('hands off: everything is paused with the reason in the file, and put right after it', async () => {
  const worker = await Bystander.ready(lab, 'untouched', image, {}, { gate: { ...ownGate, quiet_for: '0s' } });
  const file = join(worker.agent.stateDir, 'hands-off');
  writeFileSync(file, 'Ana swaps a disk\n');
  await kill(worker);
  const paused = await worker.phase('paused');
  expect(paused.reason).toBe('hands off: Ana swaps a disk');
  expect(await conditions('untouched')).toMatchObject([{ name: 'hands-off', reason: expect.stringContaining('Ana swaps a disk') }]);
  expect(await statusText(worker)).toContain('Ana swaps a disk');
  const mark = await worker.mark();
  rmSync(file);
  await worker.next(mark, 'workload.ready');
  await worker.caughtUp();
  expect(await restarts(worker)).toBe(0);
});

test('a workload that leaves the configuration: its container is reported while it runs, with the command that removes it', async () => {
  const worker = await Bystander.ready(lab, 'orphaned', image);
  await worker.agent.service.stop();
  worker.agent.configure([]);
  await worker.agent.service.start();
  await waitFor(
    async () =>
      (await conditions('orphaned')).some(
        ({ name, severity, advice }) =>
          name === 'orphan-container' && severity === 'warning' && advice.includes(`docker rm -f ${worker.containerName}`),
      ),
    { what: 'the orphan to be reported', timeoutMs: 20_000 },
  );
  expect((await worker.container()).pid).toBeGreaterThan(0);
  await kill(worker);
  await waitFor(async () => (await conditions('orphaned')).length === 0, { what: 'nothing to be reported', timeoutMs: 20_000 });
});
