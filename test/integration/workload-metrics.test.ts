/** What the kernel's files say about a real container, against what the engine says. */
import type { CreateOptions } from '@relight/agent/engine/create-options';
import { DockerEngine } from '@relight/agent/engine/docker-engine';
import { WorkloadMetricsSampler } from '@relight/agent/host/workload-metrics';
import { systemClock } from '@relight/shared/clock';
import { totalmem } from 'node:os';
import { afterAll, expect, inject, test } from 'vitest';
import { waitFor } from '../support/wait.ts';

const engine = new DockerEngine({ socketPath: inject('engineSocket') });
const name = `workload-metrics-${process.pid}`;
const memory = 64 * 1024 * 1024;

afterAll(() => engine.remove(name));

test('CPU, memory against its limit, and pids of a busy container, without asking the engine', async () => {
  const body = { Image: inject('engineImage'), Cmd: ['sh', '-c', 'sleep 1000 & while :; do :; done'], HostConfig: { Memory: memory } };
  const { id } = await engine.create(name, body as unknown as CreateOptions);
  await engine.start(id);
  const pid = (await engine.inspect(id))?.pid ?? 0;
  const sampler = new WorkloadMetricsSampler({
    clock: systemClock,
    hostMemoryBytes: totalmem(),
    stats: () => Promise.reject(new Error('the files must do')),
  });
  const containers = new Map([['w', { id, pid }]]);
  const busy = await waitFor(
    async () => {
      const metrics = (await sampler.sample(containers)).get('w');
      return (metrics?.cpuCores ?? 0) > 0.05 && metrics?.pids === 2 ? metrics : null;
    },
    { what: 'a sample with CPU in use and both processes', everyMs: 1_100, timeoutMs: 30_000 },
  );
  expect(busy.memoryLimitBytes).toBe(memory);
  expect(busy.memoryBytes).toBeGreaterThan(0);
  expect(busy.memoryBytes).toBeLessThan(memory);
  expect(busy.cpuCores).toBeLessThan(1.2);
  expect(await engine.stats(id)).toMatchObject({ memoryLimitBytes: memory, pids: 2 });
});
