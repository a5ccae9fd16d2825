/** The status line of the service is for every user of the host, and what the collector is told for all of its readers; the file is root's. */
import { RelightError } from '@relight/shared/errors';
import { refusalText } from '@relight/shared/start-refusal';
import { expect, test } from 'vitest';
import { holdsSecret, plantedSecrets } from '../../../../test/support/planted-secrets.ts';
import { serviceStatus } from '../control/service-status.ts';
import { parseConfig } from './load.ts';

const document = {
  version: 1,
  host: { name: 'h', labels: { pool: 'a' }, gate: { quiet_for: '5s', tcp: ['10.0.0.1:1'] }, setup: [{ run: 'true' }] },
  collector: { url: 'wss://c.example', token_file: '/t' },
  control: { group: 'adm' },
  engine: { socket: '/s' },
  vars: { HEAD: { run: 'true', timeout: '20s' }, PLAIN: 'x' },
  workloads: [
    {
      name: 'w',
      depends_on: [{ tcp: '${HEAD}:6379' }],
      container: {
        image: 'busybox',
        command: ['sleep', '1'],
        environment: { BUCKET: 'b' },
        labels: ['a=b'],
        sysctls: { 'net.core.somaxconn': 1 },
        ulimits: { nofile: { soft: 1, hard: 2 } },
        networks: { n: { aliases: ['a'] } },
        extra_hosts: { a: ['10.0.0.1'] },
        volumes: ['/a:/b', { type: 'bind', source: '/c', target: '/d' }],
        env_file: [{ path: '/e', required: true }],
        logging: { driver: 'splunk', options: { 'splunk-token': 'x' } },
      },
      mounts: [{ name: 'm', type: 'command', run: 'true', target: '/m', check: { interval: '1s' } }],
      setup: [{ run: 'true', retry: { attempts: 1 } }],
      process: { run: 'true' },
      ready: [{ exec: 'true' }, { ray_node: { dashboard: 'http://${HEAD}:8265' } }],
      restart: { process: { budget: '10 per 10m' } },
      logs: { files: ['/l'], redact: ['x'] },
    },
  ],
};
const adopting = { version: 1, workloads: [{ name: 'w', container: { adopt: 'c' } }] };
const env = { hostname: 'h', groupId: (name: string) => (name === 'adm' ? 4 : null) };

function refusalOf(text: string): RelightError | null {
  try {
    parseConfig(text, 'agent.yaml', env);
    return null;
  } catch (thrown) {
    if (thrown instanceof RelightError) return thrown;
    throw thrown;
  }
}

test('wherever a secret has slipped into a configuration that is refused, neither the status line nor what is told of the places has it', () => {
  for (const sound of [document, adopting]) expect(refusalOf(JSON.stringify(sound))?.message).toBeUndefined();
  const told: string[] = [];
  let quoting = 0;
  for (const sound of [document, adopting]) {
    for (const text of plantedSecrets(sound)) {
      const refused = refusalOf(text);
      if (refused === null) continue;
      if (holdsSecret(refused.message)) quoting += 1;
      const places = refused.data['places'] as readonly string[];
      const engine = { state: 'up' } as const;
      const goesOn = serviceStatus({ engine, gate: null, refused: { reason: refused.message, places }, workloads: [] });
      const line = `${refusalText(refused, 'relight-agent check')} ${goesOn} ${JSON.stringify(refused.data)}`;
      if (holdsSecret(line) || !/agent\.yaml:\d+:\d+/.test(goesOn)) told.push(`${text}\n${line}`);
    }
  }
  expect(told.slice(0, 5)).toEqual([]);
  // What root is told does name it.
  expect(quoting).toBeGreaterThan(100);
});
