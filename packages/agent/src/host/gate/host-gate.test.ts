/** The gate over scratch directories for /, /proc and real TCP sockets; the time is the test's own. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import type { NewAgentEvent } from '@relight/shared/event';
import { pino } from 'pino';
import { beforeEach, describe, expect, test } from 'vitest';
import { holdLock } from '../../../../../test/support/lock-holder.ts';
import { waitFor } from '../../../../../test/support/wait.ts';
import { defaults } from '../../config/defaults.ts';
import { SecretValues } from '../../config/secret-values.ts';
import type { GateSpec, SetupStep } from '../../config/spec.ts';
import type { ReportedCondition } from '../conditions.ts';
import { HostGate } from './host-gate.ts';
import { HostSetup } from './host-setup.ts';

let root: string;
let clock: ManualClock;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'relight-root-'));
  clock = new ManualClock();
  write('proc/locks', '');
  boot('boot-1', 3 * 86_400);
});

function write(path: string, text: string): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  utimesSync(file, clock.now() / 1_000, clock.now() / 1_000);
}

function boot(id: string, upSeconds: number): void {
  write('proc/sys/kernel/random/boot_id', `${id}\n`);
  write('proc/uptime', `${upSeconds}.00 1.00\n`);
}

interface Given {
  readonly spec?: Partial<GateSpec>;
  readonly rebooted?: boolean;
  readonly steps?: readonly SetupStep[];
}

async function bench({ spec = {}, rebooted = false, steps = [] }: Given = {}) {
  const told: string[] = [];
  const events: Omit<NewAgentEvent, 'at'>[] = [];
  let conditions: readonly ReportedCondition[] = [];
  let changes = 0;
  const secrets = new SecretValues([], null, ['hf_\\w+']);
  const setup = new HostSetup({
    steps,
    stateDir: join(root, 'state'),
    bootId: 'boot-1',
    clock,
    random: () => 0.5,
    logger: pino({ level: 'silent' }),
    vars: {},
    logs: { follow: () => {}, finish: () => {} },
    secrets,
    emit: () => {},
    onChange: () => gate.look(),
  });
  const gate: HostGate = new HostGate({
    spec: { ...defaults.gate, ...spec },
    guard: { file: join(root, 'hands-off'), maxAgeMs: 7_200_000 },
    bootId: 'boot-1',
    rebooted,
    setup,
    redact: (text) => secrets.text(text),
    clock,
    now: () => clock.now(),
    random: () => 0.5,
    emit: (event) => void events.push(event),
    report: (list) => void (conditions = list),
    onGate: (open, reason) => void told.push(open ? 'open' : reason),
    onHandsOff: (handsOff) => void (handsOff !== null && told.push(`hands off: ${handsOff.reason}`)),
    onChange: () => (changes += 1),
    root,
    procRoot: join(root, 'proc'),
  });
  await gate.start();
  return {
    gate,
    told,
    events,
    conditions: () => conditions,
    changes: () => changes,
    states: () => told.map((text) => (text === 'open' ? 'open' : 'waiting')),
  };
}

const engineAway = "the host's gate: the engine does not answer: not asked yet";

describe('the gate at work', () => {
  test('on a machine that has been up for a while it opens with the engine’s first word, and says nothing', async () => {
    const { gate, told, events, conditions } = await bench();
    expect(told).toEqual([engineAway]);
    gate.engineIs(true, 'answers');
    expect(told).toEqual([engineAway, 'open']);
    expect(events).toEqual([]);
    expect(conditions()).toEqual([]);
    expect(gate.status().conditions.map(({ name, ok }) => `${name} ${ok}`)).toEqual([
      'hands-off true',
      'boot true',
      'package manager true',
      'pending reboot true',
      'scheduled shutdown true',
      'engine true',
    ]);
  });

  test.each([
    ['an agent that finds another boot id', 3 * 86_400, true],
    ['a machine that has just booted', 20, false],
  ])('%s waits for quiet', async (_, upSeconds, rebooted) => {
    boot('boot-1', upSeconds);
    const { gate, told, events } = await bench({ rebooted });
    gate.engineIs(true, 'answers');
    clock.advance(4_900);
    expect(gate.open).toBe(false);
    clock.advance(100);
    expect(gate.open).toBe(true);
    expect(told.at(-2)).toBe("the host's gate: everything must be quiet for 5.0 s");
    expect(events).toEqual([]);
  });

  test('an engine that comes back is used at once', async () => {
    const { gate, states } = await bench();
    gate.engineIs(true, 'answers');
    gate.engineIs(false, 'connection refused');
    clock.advance(60_000);
    gate.engineIs(true, 'answers');
    expect(states()).toEqual(['waiting', 'open', 'waiting', 'open']);
  });

  test('a pending reboot closes it, is a condition, and is waited for up to the deadline', async () => {
    const { gate, events, conditions } = await bench({ spec: { timeoutMs: 60_000 } });
    gate.engineIs(true, 'answers');
    write('run/reboot-required', '');
    clock.advance(10_000);
    expect(gate.open).toBe(false);
    expect(conditions()).toMatchObject([{ name: 'reboot-pending', severity: 'warning' }]);
    expect(events).toMatchObject([
      { kind: 'host.gate-waiting', severity: 'info', data: { gate: 'waiting', deadlineAt: expect.stringMatching(/Z$/) } },
    ]);
    // The flag is older than the gate waits at the same moment, and from then on it is only reported.
    clock.advance(60_000);
    expect(gate.open).toBe(true);
    expect(conditions()).toMatchObject([{ name: 'reboot-pending' }]);
    clock.advance(3_600_000);
    expect(gate.open).toBe(true);
  });

  test('a lock that is never released is waived, and said to last', async () => {
    const { gate, events, conditions } = await bench({ spec: { timeoutMs: 60_000, lockFiles: [join(root, 'lock')] } });
    gate.engineIs(true, 'answers');
    await using lock = await holdLock(join(root, 'lock'), 'write', 'dpkg');
    write('proc/locks', readFileSync('/proc/locks', 'utf8'));
    write(`proc/${lock.pid}/stat`, readFileSync(`/proc/${lock.pid}/stat`, 'utf8'));
    clock.advance(10_000);
    await waitFor(() => !gate.open, { what: 'the gate to close' });
    const message = `dpkg (pid ${lock.pid}) holds ${join(root, 'lock')}`;
    expect(gate.status()).toMatchObject({ state: 'waiting', reason: `the host's gate: ${message}` });
    expect(conditions()).toMatchObject([{ name: 'package-manager-busy', severity: 'info', reason: message }]);
    clock.advance(60_000);
    expect(gate.status()).toMatchObject({ state: 'open', reason: `open although ${message}`, deadlineAt: null });
    expect(conditions()).toMatchObject([{ name: 'package-manager-busy', severity: 'warning' }]);
    expect(events.map(({ severity, message: text }) => `${severity} ${text}`)).toEqual([
      `info recovery waits for the host's gate: ${message}`,
      `warning the host's gate has waited for 1 m 00 s and goes on without: ${message}`,
      "info the host's gate is open after 1 m 00 s",
    ]);
  });

  test('what is not known yet holds it back, and is no news: whose lock it is is told once, however late the answer comes', async () => {
    const lockFile = join(root, 'lock');
    await using lock = await holdLock(lockFile, 'write', 'dpkg');
    write(`proc/${lock.pid}/stat`, readFileSync(`/proc/${lock.pid}/stat`, 'utf8'));
    rmSync(join(root, 'proc/locks'));
    // Whoever reads it waits until somebody writes.
    execFileSync('mkfifo', [join(root, 'proc/locks')]);
    const begun = bench({ spec: { lockFiles: [lockFile] } });
    clock.advance(1_000);
    const { gate, told, events } = await begun;
    gate.engineIs(true, 'answers');
    expect([gate.open, told.at(-1), events]).toEqual([false, "the host's gate: not asked yet", []]);
    writeFileSync(join(root, 'proc/locks'), readFileSync('/proc/locks', 'utf8'));
    const reason = `the host's gate: dpkg (pid ${lock.pid}) holds ${lockFile}`;
    await waitFor(() => told.at(-1) === reason, { what: 'the holder to be known' });
    expect(events.map(({ message }) => message)).toEqual([`recovery waits for ${reason}`]);
    gate.stop();
  });

  test('a glance sees at once what the slow look would see later, and costs nothing when it was just looked', async () => {
    const { gate } = await bench();
    gate.engineIs(true, 'answers');
    write('hands-off', 'Ana');
    gate.glance();
    expect(gate.open).toBe(true);
    clock.advance(25);
    gate.glance();
    expect(gate.open).toBe(false);
  });

  test('a secret that somebody wrote where it reads is told to nobody', async () => {
    const { gate, told, events, conditions } = await bench();
    gate.engineIs(true, 'answers');
    write('hands-off', 'Ana renews hf_token');
    clock.advance(70_000);
    expect(gate.status().reason).toContain('Ana renews [redacted]');
    expect(told).toContain('hands off: Ana renews [redacted]');
    expect(JSON.stringify([gate.status(), told, events])).not.toContain('hf_token');
    expect(conditions().some(({ name }) => name === 'gate')).toBe(true);
    expect(conditions().find(({ name }) => name === 'gate')?.reason).not.toContain('hf_token');
  });

  test('hands off closes it without a deadline, and its end opens it without quiet time', async () => {
    const { gate, told, conditions } = await bench();
    gate.engineIs(true, 'answers');
    write('hands-off', 'Ana swaps a disk');
    clock.advance(10_000);
    expect(gate.status()).toMatchObject({ state: 'waiting', deadlineAt: null });
    expect(told).toContain('hands off: Ana swaps a disk');
    clock.advance(3_600_000);
    expect(gate.open).toBe(false);
    rmSync(join(root, 'hands-off'));
    clock.advance(500);
    expect(gate.open).toBe(true);
    expect(conditions()).toEqual([]);
  });

  test('another boot id under a running agent is a disturbance', async () => {
    const { gate } = await bench();
    gate.engineIs(true, 'answers');
    boot('boot-2', 5);
    clock.advance(10_000);
    expect(gate.status()).toMatchObject({ state: 'waiting', reason: "the host's gate: the boot id has changed" });
    clock.advance(6_000);
    expect(gate.open).toBe(true);
  });

  test('a quiet host is no news to anybody, and after its end nothing is looked at', async () => {
    const { gate, changes } = await bench();
    gate.engineIs(true, 'answers');
    const before = changes();
    clock.advance(600_000);
    expect(changes()).toBe(before);
    gate.stop();
    write('hands-off', 'x');
    clock.advance(60_000);
    expect(gate.open).toBe(true);
  });

  test('a machine without a table of locks says so, and waits for nothing', async () => {
    rmSync(join(root, 'proc/locks'));
    const { gate } = await bench();
    gate.engineIs(true, 'answers');
    expect(gate.open).toBe(true);
    expect(gate.status().conditions).toContainEqual({
      name: 'package manager',
      ok: true,
      message: expect.stringContaining('cannot be told'),
    });
  });

  test('host commands come after the conditions of the host, and before everything else', async () => {
    const ran = join(root, 'ran');
    const step: SetupStep = {
      kind: 'step',
      name: 'driver',
      run: { text: `test ! -e ${join(root, 'hands-off')} && echo ran > ${ran}` },
      optional: false,
      timeoutMs: 20_000,
      retry: { attempts: 1, delayMs: 0 },
      verify: null,
    };
    write('hands-off', 'not yet');
    const { gate, told } = await bench({ steps: [step] });
    clock.advance(10_000);
    expect(gate.status().conditions).toContainEqual({ name: 'host setup', ok: false, message: 'host commands are due' });
    rmSync(join(root, 'hands-off'));
    clock.advance(500);
    // The engine is not needed for them: they may be what brings it up.
    await waitFor(
      () => {
        clock.advance(500);
        return gate.status().conditions.some(({ name, ok }) => name === 'host setup' && ok);
      },
      { what: 'the host commands to be done' },
    );
    expect(told).not.toContain('open');
    gate.engineIs(true, 'answers');
    expect(gate.open).toBe(true);
  });
});

describe('TCP targets', () => {
  test('are asked before an attempt, whatever they said before', async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { gate, told } = await bench({ spec: { tcp: [address] } });
    await waitFor(() => gate.status().conditions.some(({ name, ok }) => name === `tcp ${address}` && ok), { what: 'the first answer' });
    gate.engineIs(true, 'answers');
    clock.advance(6_000);
    expect(gate.open).toBe(true);
    await gate.confirm();
    await new Promise((resolve) => server.close(resolve));
    clock.advance(2_000);
    await expect(gate.confirm()).rejects.toMatchObject({
      code: 'gate-closed',
      message: `the host's gate: tcp ${address}: connection refused`,
    });
    expect(told.at(-1)).toBe(`the host's gate: tcp ${address}: connection refused`);
    gate.stop();
  });
});
