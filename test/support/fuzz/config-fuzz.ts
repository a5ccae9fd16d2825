/** Configuration that nobody has written so: it is read, or refused with a place and a reason. Both readers are pure. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '@relight/agent/config/load';
import { readConfig } from '@relight/collector/config';
import { RelightError } from '@relight/shared/errors';
import type { Input } from './campaign.ts';
import { mutated, mutatedText, nastyText, toText, type Json } from './mutate.ts';
import type { Randomness } from './randomness.ts';

const packages = join(import.meta.dirname, '../../../packages');
const read = (path: string): string => readFileSync(join(packages, path), 'utf8');

interface Reader {
  readonly name: string;
  readonly read: (text: string) => unknown;
  readonly texts: readonly string[];
  readonly values: readonly Json[];
}

const worker: Json = {
  name: 'ray-worker',
  depends_on: [{ tcp: '${HEAD}:6379' }],
  start_deadline: '25m',
  container: {
    name: 'ray',
    image: 'registry.example/ray:latest',
    command: ['sleep', 'infinity'],
    network_mode: 'host',
    shm_size: '100gb',
    ulimits: { memlock: -1, nofile: 1_048_576 },
    environment: { BUCKET: 'b' },
    env_file: ['/etc/relight/secrets.env'],
    volumes: ['/tmp:/tmp', '/data:/data:ro'],
    ports: ['8265:8265'],
    on_death: 'recreate',
  },
  mounts: [{ name: 'bucket', type: 'gcsfuse', bucket: 'b', target: '/mnt/b', check: { interval: '10s', timeout: '5s', failures: 2 } }],
  setup: [{ name: 'keys', run: 'mkdir -p ~/.ssh', timeout: '2m', retry: { attempts: 5, delay: '30s' } }],
  process: { run: 'ray start --address=$HEAD:6379 --block', before: 'ray stop', stop_timeout: '10s' },
  ready: [{ tcp: '${HEAD}:6379' }, { exec: 'true', interval: '1s', timeout: '10s' }],
  live: [{ http: 'http://127.0.0.1:52365/healthz', interval: '10s', failures: 3, restarts: 'process' }],
  restart: { process: { initial: '1s', max: '60s', factor: 2, jitter: 0.25, reset_after: '10m', budget: '10 per 10m', escalate_after: 3 } },
  logs: { files: ['/tmp/*.log'], redact: ['hf_[A-Za-z0-9]+'], rate_limit: '50000 per 1s' },
};

const readers: readonly Reader[] = [
  {
    name: 'agent',
    read: (text) => parseConfig(text, '/etc/relight/agent.yaml', { hostname: 'here' }),
    texts: [read('agent/examples/agent.yaml')],
    values: [
      {
        version: 1,
        host: {
          name: 'tpu-0',
          labels: { pool: 'v5e' },
          gate: { quiet_for: '5s', timeout: '15m' },
          setup: [{ run: 'true', optional: true }],
        },
        collector: { url: 'wss://collector.example:7460', token_file: '/etc/relight/agent.token' },
        state_dir: '/var/lib/relight',
        vars: { HEAD: { run: 'echo 10.0.0.1', timeout: '20s' }, ZONE: 'us-west4-a' },
        workloads: [worker],
      },
    ],
  },
  {
    name: 'collector',
    read: (text) => readConfig({ file: '/etc/relight/collector.yaml', text }),
    texts: [read('collector/examples/collector.yaml')],
    values: [
      {
        version: 1,
        listen: '127.0.0.1:7460',
        data_dir: '/var/lib/relight-collector',
        trusted_proxies: ['10.0.0.0/8'],
        forget: [{ label: 'pool=spot', after: '1h' }],
        liveness: { heartbeat: '10s', suspect_after: '25s', dead_after: '60s' },
        alerts: {
          repeated_restarts: { warning: '3 in 10m', critical: '5 in 30m' },
          sinks: [{ type: 'webhook', url: 'http://alerts.example/hook' }],
        },
        retention: { logs: '14d', logs_bytes: '50gb', events: '90d' },
      },
    ],
  },
];

const refusals: ReadonlySet<string> = new Set(['config-invalid', 'not-supported-yet']);
/** In the flow style of the JSON that they are put before. */
const aliases = [
  '"a":&a [x,x,x,x,x,x,x,x,x],"b":&b [*a ,*a ,*a ,*a ,*a ,*a ,*a ,*a ,*a ],"c":&c [*b ,*b ,*b ,*b ,*b ,*b ,*b ,*b ],"d":&d [*c ,*c ,*c ,*c ],',
  '"a":&a [*a ],',
  '"a":*nobody ,',
  '<<:*nobody ,',
  '<<:&a {<<:*a },',
];
/** Which words are special depends on it. */
const versions = ['%YAML 1.1\n---\n', '%YAML 1.2\n---\n', '%YAML 9.9\n---\n'];

function textOf(random: Randomness, { texts, values }: Reader): string {
  if (random.chance(0.3)) return lineMutated(random, random.pick(texts));
  const text = toText(mutated(random, random.pick(values)));
  if (random.chance(0.02)) return `${random.chance(0.3) ? random.pick(versions) : ''}${text.replace('{', `{${random.pick(aliases)}`)}`;
  return random.chance(0.15) ? mutatedText(random, text) : text;
}

function lineMutated(random: Randomness, text: string): string {
  const lines = text.split('\n');
  const at = random.int(lines.length);
  switch (random.int(4)) {
    case 0:
      return lines.toSpliced(at, 1).join('\n');
    case 1:
      return lines.with(at, `${' '.repeat(random.int(6))}${lines[at] ?? ''}`).join('\n');
    case 2:
      return lines.toSpliced(at, 0, nastyText(random)).join('\n');
    default:
      return mutatedText(random, text);
  }
}

/** Nobody waits longer for a file to be read; a machine under load is slow itself. */
const readMs = 20_000;

export function configInput(random: Randomness): Input {
  const reader = random.pick(readers);
  const text = textOf(random, reader);
  return {
    weight: 1,
    what: () => `configuration of the ${reader.name}: ${JSON.stringify(text.slice(0, 3_000))}`,
    async run() {
      const began = performance.now();
      try {
        reader.read(text);
      } catch (error) {
        if (!(error instanceof RelightError) || !refusals.has(error.code)) throw error;
        if (error.message.trim() === '') return 'it is refused without a word';
      }
      const ms = performance.now() - began;
      return ms > readMs ? `it took ${Math.round(ms)} ms` : null;
    },
  };
}
