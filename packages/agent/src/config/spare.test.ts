import { describe, expect, test } from 'vitest';
import { workloadFixture } from '../../../../test/support/specs.ts';
import type { ContainerSpec, WorkloadSpec } from './spec.ts';
import { whyNoSpare } from './spare.ts';

const port = { containerPort: 80, protocol: 'tcp', hostIp: '' } as const;
const why = (overrides: Partial<WorkloadSpec>, container: Partial<ContainerSpec> = {}): string | null =>
  whyNoSpare(workloadFixture(overrides, container));

describe('a prepared spare', () => {
  test.each<[Partial<WorkloadSpec>, Partial<ContainerSpec>, string]>([
    [{ process: null }, {}, 'needs a process'],
    [{}, { adopt: 'ray_docker' }, 'adopted container'],
    [{}, { onDeath: 'start' }, 'on_death: start'],
    [{}, { ports: [{ ...port, hostPort: 8080 }] }, "the host's port 8080"],
    [{}, { networks: [{ name: 'net', aliases: ['db'] }] }, 'the aliases of network net'],
    [
      {},
      { volumes: [{ type: 'bind', source: '/mnt', target: '/mnt', readOnly: false, propagation: 'rshared' }] },
      'mount bucket at the same place',
    ],
  ])('is refused where it would collide: %j %j', (overrides, container, message) => {
    expect(why(overrides, container)).toContain(message);
  });

  test('may share everything else', () => {
    const volumes = [{ type: 'bind', source: '/tmp', target: '/tmp', readOnly: false, propagation: 'rshared' }] as const;
    expect(why({}, { networkMode: 'host', privileged: true, hostname: 'worker', gpus: 'all', volumes, ports: [port] })).toBeNull();
    expect(why({}, { networks: [{ name: 'net', aliases: [] }] })).toBeNull();
  });
});
