/** The operator's `relight` as it is built, against a collector and an agent as they are built. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiEvent, ApiLogEntry, ApiWorkload } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startLab, type Lab } from '../support/lab.ts';
import { lintMetrics } from '../support/metrics-lint.ts';
import { waitFor } from '../support/wait.ts';

const host = 'op-0';
let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
  const common = { image: inject('engineImage'), pull_policy: 'never', init: true, command: ['sleep', 'infinity'] };
  await lab.addAgent({
    host,
    labels: { pool: 'e2e' },
    workloads: [
      {
        name: 'writer',
        container: { name: `e2e-writer-${process.pid}`, ...common },
        process: { run: 'i=0; while :; do i=$((i + 1)); echo "line $i"; sleep 0.05; done', stop_timeout: '1s' },
      },
      { name: 'idle', container: { name: `e2e-idle-${process.pid}`, ...common } },
    ],
  });
});

afterAll(async () => {
  await lab?.dispose();
});

const json = (text: string): unknown => JSON.parse(text);
const worker = async (): Promise<ApiWorkload | undefined> => lab.fleet.workload(host, 'writer');

test('wait: workloads, hosts and labels become ready; what does not exist does not', async () => {
  const done = await lab.relight('wait', `${host}/writer`, host, 'pool=e2e', '--timeout', '60s');
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(await lab.relight('wait', `${host}/nobody`, '--timeout', '300ms')).toMatchObject({ code: 1 });
});

test('status and host show what runs', async () => {
  const { code, stdout } = await lab.relight('status');
  expect(code).toBe(0);
  expect(stdout).toContain('1 host: 1 connected · 2 workloads: 2 ready');
  const document = json((await lab.relight('status', '--json')).stdout) as { hosts: unknown[]; workloads: ApiWorkload[] };
  expect(document.workloads.map(({ name, phase }) => `${name} ${phase}`).toSorted()).toEqual(['idle ready', 'writer ready']);
  expect((await lab.relight('host', host)).stdout).toContain('pool=e2e');
  expect(await lab.relight('host', 'op-1')).toMatchObject({ code: 1, stdout: '' });
});

test('tail: the last lines in order, by workload, source and expression', async () => {
  await waitFor(async () => (await lab.fleet.logs({ host, workload: 'writer', source: 'process' })).length >= 3, { what: 'lines' });
  const { code, stdout } = await lab.relight('tail', `${host}/writer`, '--source', 'process', '-n', '3', '--no-follow');
  expect(code).toBe(0);
  const numbers = [...stdout.matchAll(/^op-0\/writer process \| line (\d+)$/gm)].map(([, n]) => Number(n));
  expect(numbers).toHaveLength(3);
  expect(numbers.map((n) => n - (numbers[0] ?? 0))).toEqual([0, 1, 2]);
  const found = (await lab.relight('tail', '--grep', '^line 1$', '--since', '1h', '--no-follow', '--json')).stdout.trim().split('\n');
  expect(found.map((line) => (json(line) as ApiLogEntry & { line: string }).line)).toEqual(['line 1']);
  expect(await lab.relight('tail', '--grep', '(')).toMatchObject({ code: 2 });
});

/** Series of this host's agent, by the name without what all of them begin with. */
async function agentSeries(): Promise<ReadonlyMap<string, number>> {
  const authorization = `Bearer ${readFileSync(lab.operatorTokenFile, 'utf8').trim()}`;
  const page = await (await fetch(`${lab.url}/metrics`, { headers: { authorization } })).text();
  expect(lintMetrics(page)).toEqual([]);
  return new Map([...page.matchAll(/^relight_agent_(\S+) (\S+)$/gm)].map(([, series = '', value]) => [series, Number(value)]));
}

test('what the agent measures of itself is in /metrics, in host and in its own status', async () => {
  const all = await waitFor(
    async () => {
      const series = await agentSeries();
      return (series.get(`log_lines_sent_total{host="${host}"}`) ?? 0) > 0 && series;
    },
    // It measures itself every ten seconds, and says so with the next heartbeat: every ten seconds, give or take one.
    { what: 'a sample of the agent', timeoutMs: 60_000 },
  );
  const value = (name: string, labels = ''): number => all.get(`${name}{host="${host}"${labels}}`) ?? Number.NaN;
  expect(value('resident_memory_bytes')).toBeGreaterThan(10_000_000);
  expect(value('cpu_seconds_total')).toBeGreaterThan(0);
  expect(value('engine_calls_total')).toBeGreaterThan(value('engine_call_errors_total'));
  expect(Date.now() / 1_000 - value('last_look_timestamp_seconds')).toBeLessThan(60);
  expect(value('config_last_reload_successful')).toBe(1);
  expect(value('connections_total')).toBeGreaterThanOrEqual(1);
  for (const queue of ['events', 'logs']) {
    const [bytes, limit] = ['outbox_bytes', 'outbox_limit_bytes'].map((name) => value(name, `,queue="${queue}"`));
    expect(limit).toBeGreaterThan(1_000_000);
    expect(bytes).toBeLessThan((limit ?? 0) / 10);
  }
  const { agent, delivery } = (await lab.fleet.host(host)) ?? {};
  expect(agent?.uptimeMs).toBeGreaterThan(0);
  expect(delivery).toMatchObject({ gaps: { count: 0, lastReason: null } });
  expect(delivery?.outbox?.share).toBeLessThan(0.1);
  const [labAgent] = lab.agents;
  if (labAgent === undefined) throw new Error('there is no agent');
  const own = json((await lab.agentCommand(labAgent, 'status', '--json')).stdout) as { agent: { at: string; sentLines: number } };
  expect(Date.parse(own.agent.at)).toBeGreaterThan(0);
  expect(own.agent.sentLines).toBeGreaterThan(0);
});

test('restart and pause reach the agent, and the events say why', async () => {
  const before = await worker();
  expect(await lab.relight('restart', `${host}/writer`, '--level', 'container', '--reason', 'a new image')).toMatchObject({ code: 0 });
  await lab.fleet.waitForEvent(
    { host, workload: 'writer', kind: 'container.created' },
    ({ generation }) => generation === (before?.generation ?? 0) + 1,
    'a new generation',
  );
  await lab.fleet.waitForPhase(host, 'writer', 'ready');
  const { stdout } = await lab.relight('events', '--host', host, '--kind', 'restart.scheduled', '--json');
  expect((json(stdout) as { items: ApiEvent[] }).items.map(({ message }) => message).join('\n')).toContain('a new image');
  expect(await lab.relight('pause', `${host}/idle`, '--for', '1h')).toMatchObject({ code: 0 });
  expect(await lab.relight('wait', `${host}/idle`, '--for', 'paused', '--timeout', '60s')).toMatchObject({ code: 0 });
  expect(await lab.relight('resume', `${host}/idle`)).toMatchObject({ code: 0 });
  expect(await lab.relight('wait', host, '--timeout', '60s')).toMatchObject({ code: 0 });
  expect(await lab.relight('restart', `${host}/nobody`)).toMatchObject({ code: 1 });
});

test('expect and forget', async () => {
  expect(await lab.relight('expect', 'op-7', '--within', '10m', '--label', 'pool=late')).toMatchObject({ code: 0 });
  expect((await lab.fleet.host('op-7'))?.state).toBe('expected');
  expect(await lab.relight('forget', 'op-7')).toMatchObject({ code: 0 });
  expect(await lab.relight('forget', 'op-7')).toMatchObject({ code: 1 });
  expect(await lab.relight('forget', host)).toMatchObject({ code: 1 });
});

test('support-bundle: one file about the host, without the token', async () => {
  const file = join(lab.directory, 'bundle.tar.gz');
  expect(await lab.relight('support-bundle', host, '-o', file)).toMatchObject({ code: 0, stdout: `${file}\n` });
  const all = execFileSync('tar', ['-xzOf', file], { encoding: 'utf8' });
  for (const part of ['"missing": []', 'workload.ready', `relight_host_state{host="${host}"`]) expect(all).toContain(part);
  expect(all).not.toContain(readFileSync(lab.operatorTokenFile, 'utf8').trim());
});

test('what an agent has said of itself ends with its connection; when it was last heard does not', async () => {
  expect((await agentSeries()).size).toBeGreaterThan(20);
  await lab.agents[0]?.service.stop();
  await waitFor(async () => (await lab.fleet.host(host))?.state === 'stopped', { what: 'the goodbye' });
  expect((await agentSeries()).size).toBe(0);
  expect((await lab.fleet.host(host))?.delivery?.lagMs).toBeGreaterThanOrEqual(0);
});
