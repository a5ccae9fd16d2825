/** Validated specifications with nothing in them but what every one has; tests add what they are about. */
import { blankContainer } from '@relight/agent/config/container/blank';
import type { ContainerSpec, RestartPolicy, WorkloadSpec } from '@relight/agent/config/spec';

export function bareContainer(given: Partial<ContainerSpec> & Pick<ContainerSpec, 'name' | 'image'>): ContainerSpec {
  return { ...blankContainer, pullPolicy: 'missing', ...given };
}

/** Without jitter, so that delays can be told. */
export const restartPolicy: RestartPolicy = {
  initialMs: 1_000,
  maxMs: 60_000,
  factor: 2,
  jitter: 0,
  resetAfterMs: 600_000,
  budget: { count: 10, windowMs: 600_000 },
  escalateAfter: 3,
};

/** One mount, two steps, a process, one readiness and one live check. */
export function workloadFixture(overrides: Partial<WorkloadSpec> = {}, containerOverrides: Partial<ContainerSpec> = {}): WorkloadSpec {
  const step = (name: string) =>
    ({
      kind: 'step',
      name,
      run: { text: name },
      optional: false,
      timeoutMs: 60_000,
      retry: { attempts: 1, delayMs: 1_000 },
      verify: { text: `test ${name}` },
    }) as const;
  return {
    name: 'worker',
    dependsOn: [],
    startDeadlineMs: 1_500_000,
    shell: null,
    container: bareContainer({ name: 'worker', image: 'image:1', init: true, ...containerOverrides }),
    mounts: [
      {
        name: 'bucket',
        type: 'command',
        run: { text: 'bindfs /data /mnt' },
        target: '/mnt',
        timeoutMs: 30_000,
        check: { intervalMs: 10_000, timeoutMs: 5_000, failures: 2 },
      },
    ],
    setup: [step('keys'), step('caches')],
    process: { run: { text: 'ray start --block' }, before: null, stopTimeoutMs: 10_000, maxRuntimeMs: null },
    readyWindowMs: 180_000,
    ready: [{ name: 'tcp', probe: { kind: 'tcp', address: 'localhost:1', from: 'host' }, intervalMs: 1_000, timeoutMs: 1_000 }],
    live: [
      {
        name: 'health',
        probe: { kind: 'tcp', address: 'localhost:1', from: 'host' },
        intervalMs: 1_000,
        timeoutMs: 1_000,
        failures: 3,
        restarts: 'process',
      },
    ],
    restart: { process: restartPolicy, container: { ...restartPolicy, budget: { count: 5, windowMs: 600_000 }, escalateAfter: null } },
    logs: { rateLimit: { lines: 50_000, windowMs: 1_000 }, files: [], redact: [] },
    spare: null,
    ...overrides,
  };
}
