/**
 * The first start of a host as an operator sees it: expected, missed when it does not come, and from its first second on each stage with
 * its time; a long step shows what it does while it does it. What /metrics says of all that is strictly right.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { ApiLogLine } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { programs, startLab, type Lab } from '../support/lab.ts';
import { lintMetrics } from '../support/metrics-lint.ts';
import { cleanEnvironment } from '../support/service.ts';
import { waitFor } from '../support/wait.ts';

const host = 'first-0';
const place = `${host}/worker`;
const container = `e2e-first-${process.pid}`;
let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(async () => {
  await lab?.dispose();
});

const told = (): readonly string[] =>
  lab.webhook.alerts().map(({ status, labels }) => `${status} ${labels['alertname']} ${labels['host']}`);

/** Somebody at a terminal who waits for it, and what he has read so far. */
function watchIt(): Disposable & { readonly lines: readonly string[]; readonly code: Promise<number | null> } {
  const lines: string[] = [];
  const args = ['wait', place, '--for', 'ready', '--timeout', '4m', '--interval', '2s'];
  const child = spawn(process.execPath, [programs.relight, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...cleanEnvironment(), ...lab.operatorEnvironment },
  });
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { lines, code, [Symbol.dispose]: () => void child.kill('SIGKILL') };
}

test('expected and missing: one alert, resolved when it comes', async () => {
  await lab.relight('expect', host, '--within', '1s');
  expect(await lab.fleet.host(host)).toMatchObject({ state: 'expected', workloads: [] });
  expect((await lab.relight('status')).stdout).toMatch(/first-0 +expected/);
  await waitFor(() => told().length > 0, { what: 'the alert', timeoutMs: 15_000 });
  expect(told()).toEqual([`firing HostMissing ${host}`]);
});

test('its first start: every stage from the first second, what a long step prints, and the way in /metrics', async () => {
  using waiting = watchIt();
  await waitFor(() => waiting.lines.length > 0, { what: 'the first line of somebody who waits', timeoutMs: 30_000 });
  const began = Date.now();
  await lab.addAgent({
    host,
    workloads: [
      {
        name: 'worker',
        container: {
          name: container,
          image: inject('engineImage'),
          pull_policy: 'never',
          init: true,
          command: ['sleep', 'infinity'],
        },
        // It lasts until it was looked at often enough, on however busy a machine.
        setup: [{ name: 'weights', run: 'i=0; until [ -e /enough ]; do i=$((i + 1)); echo "loaded $i"; sleep 1; done', timeout: '4m' }],
        process: { run: 'exec sleep 100000', stop_timeout: '1s' },
        ready: [{ exec: 'true', interval: '200ms' }],
      },
    ],
  });
  const first = await waitFor(async () => (await lab.fleet.workload(host, 'worker')) ?? null, {
    what: 'its first status',
    timeoutMs: 20_000,
  });
  expect(first.stage ?? first.reason).not.toBe('');
  await waitFor(async () => (await lab.fleet.workload(host, 'worker'))?.phase === 'setting-up', { what: 'its setup', timeoutMs: 30_000 });

  // All through the long step: the stage with its beginning, and a line that is not old.
  const ofStep = (): readonly string[] => waiting.lines.filter((line) => line.includes('setting-up: setup: weights, attempt 1/1'));
  let oldestMs = 0;
  let looks = 0;
  let enough = false;
  await waitFor(
    async () => {
      const now = Date.now();
      const status = await lab.fleet.workload(host, 'worker');
      if (status?.phase !== 'setting-up') return status?.phase === 'ready' || status?.phase === 'verifying' || status?.phase === 'starting';
      const since = Date.parse(status.stageSince ?? '');
      if (now - since < 1_500) return false;
      const entries = await lab.fleet.logs({ host, workload: 'worker', source: 'setup' });
      const last = entries.findLast((entry): entry is ApiLogLine => 'line' in entry);
      const seen = await lab.fleet.host(host);
      // Before its first line the news is as old as the step.
      const lineAt = last === undefined ? since : Date.parse(last.at);
      oldestMs = Math.max(oldestMs, now - lineAt, now - Date.parse(seen?.lastSeenAt ?? ''));
      expect(status.stage).toBe('setup: weights, attempt 1/1');
      expect(last?.line ?? 'loaded 0').toMatch(/^loaded \d+$/);
      looks += 1;
      if (!enough && looks >= 8 && now - since >= 12_000 && last !== undefined && ofStep().length >= 4) {
        enough = true;
        await lab.engine.exec(container, { argv: ['touch', '/enough'] });
      }
      return false;
    },
    { what: 'the end of the long step', timeoutMs: 120_000, everyMs: 500 },
  );
  console.log(`in ${looks} looks at the long step the oldest news was ${oldestMs} ms old`);
  expect(oldestMs).toBeLessThanOrEqual(11_500);

  expect(await waiting.code).toBe(0);
  const { lines } = waiting;
  expect(lines[0]).toMatch(/^ *\S+ m?s +first-0\/worker +host first-0 is expected/);
  // The time goes on while the stage stays.
  expect(new Set(ofStep().map((line) => line.trim().split('  ')[0])).size).toBeGreaterThanOrEqual(4);
  expect(lines.at(-1)).toMatch(/first-0\/worker +ready$/);
  console.log(`ready after ${Date.now() - began} ms:\n${lines.join('\n')}`);
  await waitFor(() => told().length >= 2, { what: 'the end of the alert', timeoutMs: 30_000 });
  expect(told()).toEqual([`firing HostMissing ${host}`, `resolved HostMissing ${host}`]);

  const page = await waitFor(
    async () => {
      const token = readFileSync(lab.operatorTokenFile, 'utf8').trim();
      const text = await fetch(`${lab.url}/metrics`, { headers: { authorization: `Bearer ${token}` } }).then((answer) => answer.text());
      return text.includes('relight_time_to_ready_seconds_count 1') && text;
    },
    { what: 'the start in /metrics', timeoutMs: 30_000 },
  );
  expect(lintMetrics(page)).toEqual([]);
  expect(page).toContain(`relight_workload_starts_total{host="${host}",workload="worker",outcome="ready"} 1`);
  const { data } = await lab.fleet.waitForEvent({ host, kind: 'workload.ready' }, () => true, 'the event of it');
  const { ms } = (data['stages'] as readonly { kind: string; ms: number }[]).find(({ kind }) => kind === 'setup') ?? { ms: 0 };
  expect(ms).toBeGreaterThan(10_000);
  for (const seconds of [10, 30, 120])
    expect(page).toContain(`relight_stage_seconds_bucket{stage="setup",le="${seconds}"} ${ms <= seconds * 1_000 ? 1 : 0}\n`);
});
