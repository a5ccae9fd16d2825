/** Real commands on this machine, with a clock of our own for what is waited for. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { systemClock, type Clock } from '@relight/shared/clock';
import type { NewAgentEvent } from '@relight/shared/event';
import { ManualClock } from '@relight/shared/manual-clock';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { waitFor } from '../../../../../test/support/wait.ts';
import { SecretValues } from '../../config/secret-values.ts';
import type { SetupStep } from '../../config/spec.ts';
import { isAlive, readStat } from '../../stages/proc.ts';
import { HostSetup } from './host-setup.ts';
import { dueSteps, retryDelayMs, stepDigest, withDone, type SetupRecord } from './setup-plan.ts';

let stateDir: string;
let running: HostSetup[] = [];
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'relight-setup-'));
});
afterEach(() => {
  for (const setup of running) setup.stop();
  running = [];
});

const step = (run: string, more: Partial<SetupStep> = {}): SetupStep => ({
  kind: 'step',
  name: run,
  run: { text: run },
  optional: false,
  timeoutMs: 20_000,
  retry: { attempts: 1, delayMs: 0 },
  verify: null,
  ...more,
});

function start(steps: readonly SetupStep[], bootId = 'boot-1', vars: Record<string, string> = {}, clock: Clock = systemClock) {
  const events: Omit<NewAgentEvent, 'at'>[] = [];
  const followed: string[] = [];
  const secrets = new SecretValues([], null, ['hf_\\w+']);
  secrets.learn(['Planted-In-An-Env-File']);
  const setup: HostSetup = new HostSetup({
    steps,
    stateDir,
    bootId,
    clock,
    random: () => 0.5,
    logger: pino({ level: 'silent' }),
    vars,
    logs: {
      follow: ({ key, path }) =>
        void followed.push(
          `follow ${key.workload}/${key.generation} ${key.source} ${nameless(key.run)} ${basename(path) === `${key.run}.log`}`,
        ),
      finish: ({ run }) => void followed.push(`finish ${nameless(run)}`),
    },
    secrets,
    emit: (event) => void events.push(event),
    onChange: () => {},
  });
  running.push(setup);
  const reaches = (ok: boolean, pattern: RegExp): Promise<unknown> =>
    waitFor(() => setup.reading()?.ok === ok && pattern.test(setup.reading()?.message ?? ''), { what: String(pattern), timeoutMs: 20_000 });
  return { setup, events, followed, reaches, kinds: () => events.map(({ kind, data }) => `${kind} ${String(data?.['step'])}`) };
}

/** Null: it has not been written yet. */
const pidIn = (file: string): number | null => (existsSync(file) && Number(readFileSync(file, 'utf8'))) || null;
/** Without the time of its start. */
const nameless = (run: string): string => run.replace(/^\d{13}-/, '');
const outputs = (): readonly string[] => readdirSync(join(stateDir, 'host-setup')).toSorted();
const outputOf = (title: string): Buffer =>
  readFileSync(join(stateDir, 'host-setup', outputs().findLast((name) => nameless(name) === `${title}.log`) ?? ''));

const marks = (): string => (existsSync(join(stateDir, 'marks')) ? readFileSync(join(stateDir, 'marks'), 'utf8') : '');
const mark = (name: string, more: Partial<SetupStep> = {}): SetupStep =>
  step(`echo ${name} >> ${join(stateDir, 'marks')}; echo said ${name}`, { name, ...more });

describe('host commands', () => {
  test('without any there is nothing to wait for', () => {
    expect(start([]).setup.reading()).toBeNull();
  });

  test('run in order when they may, once per boot, and their output is kept', async () => {
    const first = start([mark('a'), mark('b')]);
    expect(first.setup.reading()).toMatchObject({ ok: false, hold: 'firm', message: 'host commands are due' });
    expect(marks()).toBe('');
    first.setup.nudge();
    first.setup.nudge();
    await first.reaches(true, /2 host commands done in this boot/);
    expect(marks()).toBe('a\nb\n');
    expect(first.kinds()).toEqual(['setup.step-started a', 'setup.step-done a', 'setup.step-started b', 'setup.step-done b']);
    expect(outputOf('1-a').toString()).toBe('said a\n');

    expect(start([mark('a'), mark('b')]).setup.reading()).toMatchObject({ ok: true });
    // A changed one alone; and after a reboot all of them.
    const changed = start([mark('a'), mark('b', { run: { text: `echo B >> ${join(stateDir, 'marks')}` } })]);
    changed.setup.nudge();
    await changed.reaches(true, /done/);
    expect(marks()).toBe('a\nb\nB\n');
    const rebooted = start([mark('a')], 'boot-2');
    rebooted.setup.nudge();
    await rebooted.reaches(true, /done/);
    expect(marks()).toBe('a\nb\nB\na\n');
  });

  test('an end of the agent would kill the one under way: it says which', async () => {
    const go = join(stateDir, 'go');
    const { setup, reaches } = start([step(`until [ -e ${go} ]; do sleep 0.05; done`, { name: 'slow' })]);
    expect(setup.busy).toBeNull();
    setup.nudge();
    await reaches(false, /host setup 1\/1: slow/);
    expect(setup.busy).toBe('host setup 1/1: slow');
    writeFileSync(go, '');
    await reaches(true, /done/);
    expect(setup.busy).toBeNull();
  });

  test('what each execution prints is a log of the host with a name of its own; what an earlier agent left is delivered', async () => {
    const failing = start([mark('a'), step('echo no; exit 1', { name: 'b', retry: { attempts: 2, delayMs: 5 } })]);
    failing.setup.start();
    failing.setup.nudge();
    await failing.reaches(false, /exit code 1: no/);
    const written = (title: string): readonly string[] => [`follow @host/0 setup ${title} true`, `finish ${title}`];
    expect(failing.followed).toEqual([...written('1-a'), ...written('2-b'), ...written('2-b')]);
    expect(outputs().map(nameless)).toEqual(['1-a.log', '2-b.log', '2-b.log']);
    failing.setup.stop();
    writeFileSync(join(stateDir, 'host-setup', '1700000000000-9-earlier.log'), 'said by an earlier agent');
    writeFileSync(join(stateDir, 'host-setup', 'notes.log'), '');
    const later = start([]);
    later.setup.start();
    expect(later.followed).toEqual([...written('9-earlier'), ...written('1-a'), ...written('2-b'), ...written('2-b')]);
  });

  test('argv reaches the program as it stands, and literal variables its environment', async () => {
    const { setup, reaches } = start(
      [step('', { name: 'argv', run: { argv: ['sh', '-c', 'echo "$0" "$HEAD" > "$1"', 'a  "b" $(c)', join(stateDir, 'out')] } })],
      'b',
      { HEAD: '10.0.0.1' },
    );
    setup.nudge();
    await reaches(true, /done/);
    expect(readFileSync(join(stateDir, 'out'), 'utf8')).toBe('a  "b" $(c) 10.0.0.1\n');
  });

  test('a required one that fails stops the rest, is a condition, and is tried again at once by hand', async () => {
    const flag = join(stateDir, 'flag');
    const { setup, events, reaches } = start([
      step(`echo one; echo two >&2; test -e ${flag}`, { name: 'x', retry: { attempts: 2, delayMs: 1 } }),
      mark('after'),
    ]);
    setup.nudge();
    await reaches(false, /^host setup "x": exit code 1: one \| two; next try at /);
    expect(marks()).toBe('');
    expect(setup.condition()).toMatchObject({
      name: 'host-setup-failed',
      subject: 'x',
      severity: 'error',
      reason: 'host setup "x": exit code 1: one | two',
    });
    expect(events.filter(({ kind }) => kind === 'setup.step-failed')).toMatchObject([
      {
        severity: 'warning',
        data: { code: 'setup-failed', attempt: 1, attempts: 2, exitCode: 1, lastLines: ['one', 'two'], level: 'host' },
      },
      { severity: 'error', message: 'host setup "x": exit code 1: one | two (attempt 2 of 2)' },
    ]);
    writeFileSync(flag, '');
    setup.retryNow();
    expect(setup.reading()).toMatchObject({ ok: false });
    setup.nudge();
    await reaches(true, /done/);
    expect(setup.condition()).toBeNull();
    expect(marks()).toBe('after\n');
  });

  test('a secret that it prints is told to nobody, nor half of one where what it printed is cut', async () => {
    const secret = 'Planted-In-An-Env-File';
    // Of what it printed the last 16 KiB are kept, of each line 300 characters: both cut a secret in two here.
    const after = `${'0'.repeat(290)}${secret}\nthe hf_token of it\n`;
    writeFileSync(join(stateDir, 'said'), `${secret}${'0'.repeat(16_384 - secret.length + 8 - 1 - after.length)}\n${after}`);
    const { setup, events, reaches } = start([step(`cat ${join(stateDir, 'said')}; exit 3`, { name: 'prints' })]);
    setup.nudge();
    await reaches(false, /exit code 3/);
    const told = JSON.stringify([events, setup.reading(), setup.condition()]);
    expect(told).toContain('the [redacted] of it');
    expect(told).not.toMatch(/Env-File|hf_|Planted/);
  });

  test('an optional one only warns, and is not tried again in this life', async () => {
    const { setup, events, reaches } = start([step('exit 7', { name: 'x', optional: true }), mark('after')]);
    setup.nudge();
    await reaches(true, /done/);
    expect(marks()).toBe('after\n');
    expect(events.find(({ kind }) => kind === 'setup.step-failed')).toMatchObject({
      severity: 'warning',
      message: 'host setup "x": exit code 7 (attempt 1 of 1, optional)',
    });
    expect(start([step('exit 7', { name: 'x', optional: true })]).setup.reading()).toMatchObject({ ok: false });
  });

  test('what verify says counts', async () => {
    const { setup, reaches } = start([mark('a', { verify: { text: 'echo not there >&2; exit 4' } })]);
    setup.nudge();
    await reaches(false, /^host setup "a" ran, but verify says exit code 4: not there; next try/);
    expect(setup.condition()).toMatchObject({ reason: 'host setup "a" ran, but verify says exit code 4: not there' });
  });

  test('the deadline kills the step with everything it has started', async () => {
    const pidFile = join(stateDir, 'pid');
    const clock = new ManualClock();
    const { setup, reaches } = start(
      [step(`sleep 600 & echo $! > ${pidFile}; wait`, { name: 'slow', timeoutMs: 400 })],
      'boot-1',
      {},
      clock,
    );
    setup.nudge();
    const child = await waitFor(() => pidIn(pidFile), { what: 'the step to run' });
    clock.advance(400);
    await reaches(false, /^host setup "slow": not done within 400 ms/);
    await waitFor(() => readStat('/proc', child) === null || !isAlive('/proc', child, readStat('/proc', child)?.startTicks ?? 0), {
      what: 'the child to be gone',
    });
    expect(setup.reading()).toMatchObject({ ok: false });
  });

  test('a program that is not there, and a flood of output', async () => {
    const { setup, reaches } = start([
      step('', { name: 'missing', run: { argv: ['/nowhere/program'] }, optional: true }),
      step('yes 0123456789 | head -c 3000000; echo; echo the end', { name: 'flood' }),
    ]);
    setup.nudge();
    await reaches(true, /done/);
    expect(outputOf('2-flood').length).toBe(1 << 20);
  });

  test('a step that was cut off with its agent ends before it begins again', async () => {
    const first = start([step(`echo $$ > ${join(stateDir, 'pid')}; exec sleep 600`, { name: 'cut' })]);
    first.setup.nudge();
    const pid = await waitFor(() => pidIn(join(stateDir, 'pid')), { what: 'the step to run' });
    const ticks = readStat('/proc', pid)?.startTicks ?? 0;
    // As after kill -9: nobody has stopped anything.
    const second = start([mark('cut')]);
    second.setup.nudge();
    await second.reaches(true, /done/);
    expect(isAlive('/proc', pid, ticks)).toBe(false);
  });

  test('stop ends the step under way and says nothing of a failure', async () => {
    const { setup, events } = start([step(`echo $$ > ${join(stateDir, 'pid')}; exec sleep 600`, { name: 'stopped' })]);
    setup.nudge();
    const pid = await waitFor(() => pidIn(join(stateDir, 'pid')), { what: 'the step to run' });
    const ticks = readStat('/proc', pid)?.startTicks ?? 0;
    setup.stop();
    await waitFor(() => !isAlive('/proc', pid, ticks), { what: 'the step to end' });
    expect(events.map(({ kind }) => kind)).toEqual(['setup.step-started']);
  });

  test('a damaged memory of it only means that the steps run once more', () => {
    writeFileSync(join(stateDir, 'host-setup.json'), '{"bootId": 3');
    expect(start([mark('a')]).setup.reading()).toMatchObject({ ok: false });
  });
});

describe('what is due', () => {
  const steps = [step('a'), step('b')];
  test('name, deadline and attempts make no other step; the commands do', () => {
    expect(stepDigest({ ...step('a'), timeoutMs: 1 } as SetupStep)).toBe(stepDigest(step('a')));
    expect(stepDigest(step('a', { verify: { text: 'v' } }))).not.toBe(stepDigest(step('a')));
    expect(stepDigest(step('a', { run: { argv: ['a'] } }))).not.toBe(stepDigest(step('a')));
  });

  test('whatever was done: exactly the rest is due, in order, and nothing of another boot counts', () => {
    fc.assert(
      fc.property(fc.subarray(steps), fc.boolean(), (done, sameBoot) => {
        const record = done.reduce<SetupRecord>(withDone, { bootId: 'b', done: {}, running: null });
        const due = dueSteps(steps, record, sameBoot ? 'b' : 'c');
        expect(due).toEqual(sameBoot ? steps.filter((item) => !done.includes(item)) : steps);
      }),
    );
  });

  test('the back-off grows to its cap and never beyond', () => {
    expect([1, 2, 3, 4, 10, 1_000].map((n) => retryDelayMs(n, 0.5))).toEqual([5_000, 10_000, 20_000, 40_000, 300_000, 300_000]);
    expect([retryDelayMs(1, 0), retryDelayMs(1, 1)]).toEqual([3_750, 6_250]);
  });
});
