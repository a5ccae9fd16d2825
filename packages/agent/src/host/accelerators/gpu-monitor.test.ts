import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@relight/shared/clock';
import { ManualClock } from '@relight/shared/manual-clock';
import { afterEach, describe, expect, test } from 'vitest';
import { fakeNvidiaSmi, nvidiaSmi, samples, type FakeGpu } from '../../../../../test/support/nvidia-smi.ts';
import { eventually, waitFor } from '../../../../../test/support/wait.ts';
import { type ChildRequest, type ChildResult, runChild } from '@relight/shared/child';
import type { GpuHealth } from './gpu-health.ts';
import type { GpuLook } from './gpu-look.ts';
import { GpuMonitor, type GpuMonitorOptions } from './gpu-monitor.ts';
import { judge, Smi } from './smi.ts';

const scratch = (): string => mkdtempSync(join(tmpdir(), 'gpu-'));
const gpu = (n: number, more: Partial<FakeGpu> = {}): FakeGpu => ({ uuid: `GPU-${n}`, pci: `00000000:0${n}:00.0`, ...more });

/** Null: it has not been written yet. */
const numberIn = (file: string): number | null => Number(readFileSync(file, 'utf8')) || null;

describe('nvidia-smi', () => {
  test('is found on the PATH and read, 1 MB of it', async () => {
    const fake = fakeNvidiaSmi(scratch());
    fake.prints(samples.h100Driver590.replace('</supported_clocks>', `${'<c>1 MHz</c>'.repeat(90_000)}</supported_clocks>`));
    const look = await new Smi({ clock: systemClock, path: `/nowhere:${fake.directory}:/usr/bin` }).look();
    expect(look).toMatchObject({ kind: 'report', report: { driverVersion: '590.44.01', complete: true } });
    expect(look?.kind === 'report' ? look.report.gpus.length : 0).toBe(2);
  });

  test('that is not there costs nothing and is said', async () => {
    expect(await new Smi({ clock: systemClock, path: '/nowhere' }).look()).toBeNull();
  });

  test('that ignores SIGTERM is killed at the deadline with all it has started, and asked again', async () => {
    const fake = fakeNvidiaSmi(scratch());
    fake.says(`trap '' TERM; echo $$ > ${fake.directory}/pid; sleep 600 & wait; sleep 600`);
    const clock = new ManualClock();
    const smi = new Smi({ clock, path: `${fake.directory}:/usr/bin:/bin` });
    const looking = smi.look();
    const pid = await waitFor(() => existsSync(`${fake.directory}/pid`) && numberIn(`${fake.directory}/pid`), { what: 'it to begin' });
    clock.advance(10_000);
    expect(await looking).toMatchObject({ kind: 'timeout' });
    await eventually(() => expect(() => process.kill(-pid, 0)).toThrow('ESRCH'), { what: 'its group to be gone' });
    fake.prints(samples.t4Driver515);
    expect(await smi.look()).toMatchObject({ kind: 'report' });
  });

  test('is never asked twice at once, and a probe that cannot be killed is parked, not stacked', async () => {
    const fake = fakeNvidiaSmi(scratch());
    fake.prints(samples.t4Driver515);
    let asked = 0;
    const { promise: ended, resolve: end } = Promise.withResolvers<undefined>();
    const killedInVain: ChildResult = {
      exitCode: null,
      signal: null,
      stdout: '',
      stderr: '',
      timedOut: true,
      spawnError: null,
      survivor: ended,
    };
    const run = (request: ChildRequest): Promise<ChildResult> => {
      asked += 1;
      return asked === 1 ? Promise.resolve(killedInVain) : runChild(request);
    };
    const smi = new Smi({ clock: systemClock, path: `${fake.directory}:/usr/bin:/bin`, run });
    expect(await Promise.all([smi.look(), smi.look(), smi.look()])).toEqual([{ kind: 'stuck' }, { kind: 'stuck' }, { kind: 'stuck' }]);
    expect(await smi.look()).toEqual({ kind: 'stuck' });
    expect(asked).toBe(1);
    end(undefined);
    await ended;
    expect(await smi.look()).toMatchObject({ kind: 'report' });
    expect(asked).toBe(2);
  });
});

describe('the monitor', () => {
  const monitors: GpuMonitor[] = [];
  afterEach(() => {
    for (const monitor of monitors.splice(0)) monitor.dispose();
  });

  function watching(more: Partial<GpuMonitorOptions> = {}) {
    const clock = new ManualClock();
    const told: GpuHealth[] = [];
    const answers: { look: GpuLook | null; count: number } = { look: null, count: 0 };
    const monitor = new GpuMonitor({
      clock,
      look: () => {
        answers.count += 1;
        return Promise.resolve(answers.look);
      },
      file: join(scratch(), 'gpus.json'),
      bootId: 'boot-1',
      expected: null,
      needed: true,
      onLook: (health) => told.push(health),
      ...more,
    });
    monitors.push(monitor);
    return { clock, told, answers, monitor };
  }
  const saying = (xml: string): GpuLook => judge({ exitCode: 0, signal: null, stdout: xml, stderr: '', spawnError: null });

  test('looks every 30 s; without nvidia-smi every ten minutes', async () => {
    const { clock, answers, monitor } = watching();
    await monitor.look();
    clock.advance(599_999);
    expect(answers.count).toBe(1);
    answers.look = saying(nvidiaSmi({ gpus: [gpu(0)] }));
    clock.advance(1);
    expect(answers.count).toBe(2);
    await monitor.look();
    clock.advance(29_999);
    expect(answers.count).toBe(2);
    clock.advance(1);
    expect(answers.count).toBe(3);
  });

  test('a slow-down of three reports in a row is trouble, an interrupted one is none', async () => {
    const { told, answers, monitor } = watching();
    const slow = saying(nvidiaSmi({ gpus: [gpu(0, { throttle: ['hw_power_brake_slowdown'] })] }));
    const fine = saying(nvidiaSmi({ gpus: [gpu(0)] }));
    for (const look of [slow, slow, fine, slow, slow, slow]) {
      answers.look = look;
      await monitor.look();
    }
    expect(told.map(({ conditions }) => conditions.length)).toEqual([0, 0, 0, 0, 0, 1]);
    expect(told.at(-1)?.conditions[0]).toMatchObject({ name: 'gpu-throttled', advice: 'Look at power supply and cables.' });
  });

  test('remembers the cards and Xids of this boot across a restart of the agent, and forgets them with the next boot', async () => {
    const file = join(scratch(), 'gpus.json');
    const first = watching({ file });
    first.answers.look = saying(nvidiaSmi({ gpus: [gpu(0), gpu(1)] }));
    await first.monitor.look();
    first.monitor.xid({ code: 79, address: '0000:01:00.0', at: 5, reason: 'fallen off the bus', advice: 'Replace the host.', held: true });
    first.monitor.dispose();

    const second = watching({ file });
    second.answers.look = saying(nvidiaSmi({ gpus: [gpu(0)] }));
    const { conditions, block } = await second.monitor.look();
    expect(conditions.map(({ name, subject }) => `${name} ${subject}`)).toEqual(['gpu-missing ', 'gpu-missing GPU-1']);
    expect(block?.code).toBe('gpu-failed');

    const rebooted = watching({ file, bootId: 'boot-2' });
    rebooted.answers.look = second.answers.look;
    expect((await rebooted.monitor.look()).conditions).toEqual([]);
  });

  test('an Xid is judged at once and the driver asked at once', async () => {
    const { told, answers, monitor } = watching();
    answers.look = saying(nvidiaSmi({ gpus: [gpu(0)] }));
    await monitor.look();
    monitor.xid({ code: 48, address: '0000:00:00.0', at: 5, reason: 'double bit ECC error', advice: 'Follow the workflow.', held: false });
    expect(told.at(-1)).toMatchObject({
      accelerators: [{ health: 'degraded', reason: 'GPU 0: Xid 48, double bit ECC error' }],
      block: null,
    });
    expect(answers.count).toBe(2);
  });
});
