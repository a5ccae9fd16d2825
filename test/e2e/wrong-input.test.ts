/**
 * Wrong input to every command of the three programs, as a person at a terminal gives it: one clear message, exit code 2,
 * and nothing touched: no file, no state directory, no container. (Every field of the configuration: wrong-inputs.test.ts beside it.)
 */
import { DockerEngine } from '@relight/agent/engine/docker-engine';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { programs } from '../support/lab.ts';

let directory: string;
let engine: DockerEngine;
let before: string;

/** Everything below, with contents. */
function filesBelow(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => (statSync(join(path, name)).isFile() ? `${name}: ${readFileSync(join(path, name), 'utf8')}` : name));
}

const everything = async (): Promise<string> =>
  JSON.stringify({ files: filesBelow(directory), containers: (await engine.list({})).toSorted() });

beforeAll(() => {
  engine = new DockerEngine({ socketPath: inject('engineSocket') });
  directory = mkdtempSync(join(tmpdir(), 'relight-wrong-'));
  mkdirSync(join(directory, 'a-directory'));
  const put = (name: string, content: string | Uint8Array): void => writeFileSync(join(directory, name), content);
  put('good.yaml', agentConfig({}));
  put('good-collector.yaml', JSON.stringify({ version: 1 }));
  put('a-file', 'not a directory');
  put('two words', 'two words\n');
});

beforeEach(async () => {
  before = await everything();
});

afterEach(async () => {
  const after = await everything();
  if (after !== before) throw new Error(`something was touched: ${before} became ${after}`);
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function agentConfig(
  more: Readonly<Record<string, unknown>>,
  workload: Readonly<Record<string, unknown>> = {},
  container: object = {},
): string {
  const image = { image: inject('engineImage'), pull_policy: 'never', command: ['sleep', 'infinity'], ...container };
  return JSON.stringify(
    {
      version: 1,
      state_dir: 'state',
      engine: { socket: inject('engineSocket') },
      ...more,
      workloads: [{ name: 'w', container: image, ...workload }],
    },
    null,
    1,
  );
}

const titles = { agent: 'relight-agent', collector: 'relight-collector', relight: 'relight' } as const;

interface Outcome {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
  /** How often the program says that something is wrong. */
  readonly messages: number;
  readonly hasStack: boolean;
  /** A message and what to do about it, perhaps a suggestion between them. */
  readonly short: boolean;
}

function call(program: keyof typeof programs, line: string, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const args = line === '' ? [] : line.split(' ');
  const options = { cwd: directory, env: { PATH: process.env['PATH'], HOME: directory, ...env }, timeout: 60_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [programs[program], ...args], options, (error, stdout, stderr) => {
      resolve({
        code: error === null ? 0 : typeof error.code === 'number' ? error.code : `killed by ${error.signal}`,
        stdout,
        stderr,
        messages: stderr.match(new RegExp(`^${titles[program]}: `, 'gm'))?.length ?? 0,
        hasStack: /^ +at .*:\d+/m.test(stderr),
        short: stderr.trimEnd().split('\n').length <= 3,
      });
    });
  });
}

const refusal = (message: string) =>
  ({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining(message) as string,
    messages: 1,
    hasStack: false,
    short: true,
  }) satisfies Outcome;

describe('relight-agent', () => {
  test.each<[string, string]>([
    ['statsu', "unknown command 'statsu'"],
    ['--bogus', "unknown option '--bogus'"],
    ['run', "required option '-c, --config <file>' not specified"],
    ['run --config', 'argument missing'],
    ['run --config missing.yaml', 'missing.yaml: there is no such file'],
    ['run --config a-directory', 'a-directory: is a directory, not a file'],
    ['run --config a-file/agent.yaml', 'a part of the path is not a directory'],
    ['run --config good.yaml --log-level loud', 'Allowed choices are'],
    ['run --config good.yaml --stat-dir x', "unknown option '--stat-dir'"],
    ['run --config good.yaml --state-dir /proc/relight', '/proc belongs to the kernel'],
    ['run --config good.yaml --state-dir a-file', 'a-file cannot be used'],
    ['run --config good.yaml --state-dir a-file/state', 'cannot be used'],
    ['run --config good.yaml extra', "too many arguments for 'run'"],
    ['check --config', 'argument missing'],
    ['check --config missing.yaml', 'there is no such file'],
    ['check --config good.yaml --jsn', "unknown option '--jsn'"],
    ['plan --config', 'argument missing'],
    ['plan --config missing.yaml', 'there is no such file'],
    ['plan --config good.yaml --state-dir /sys/relight', '/sys belongs to the kernel'],
    ['status extra', "too many arguments for 'status'"],
    ['status --state-dir /dev/x', '/dev belongs to the kernel'],
    ['pause w extra', "too many arguments for 'pause'"],
    ['pause w --for soon', 'like 30m or 2h'],
    ['pause w --for 0s', 'like 30m or 2h'],
    ['pause --level process', "unknown option '--level'"],
    ['resume w --for 1h', "unknown option '--for'"],
    ['restart w --level host', 'Allowed choices are process, container'],
    ['restart --for 1h', "unknown option '--for'"],
    ['import podman', "unknown command 'podman'"],
    ['import ray', "missing required argument 'file'"],
    ['import ray cluster.yaml', 'cluster.yaml: there is no such file'],
    ['import container', "missing required argument 'name'"],
    ['import docker-run', "missing required argument 'command"],
    ['import docker-run -- docker ps', 'docker run'],
    ['import docker-run -- docker run', 'image'],
    ['import docker-run -- docker run --bogus image', '--bogus'],
  ])('%s', async (line, message) => {
    expect(await call('agent', line)).toEqual(refusal(message));
  });

  test.each(['', 'import'])('"%s" is not all: the help, as wrong usage', async (line) => {
    expect(await call('agent', line)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Usage: relight-agent') });
  });

  test('a wrong environment', async () => {
    expect(await call('agent', 'run --config good.yaml', { RELIGHT_STATE_DIR: '/proc/x' })).toEqual(refusal('/proc belongs to the kernel'));
    expect(await call('agent', 'run --config good.yaml', { RELIGHT_LOG_LEVEL: 'loud' })).toEqual(refusal('Allowed choices are'));
  });

  describe.each(['run', 'check', 'plan'])('%s with a configuration that is wrong', (command) => {
    test.each<[string, () => string | Uint8Array, string]>([
      ['not YAML', () => 'version: [1', ':1:'],
      ['empty', () => '', 'wrong.yaml:1:1: '],
      ['not text', () => new Uint8Array([0xff, 0xfe, 0x00]), 'not a text file in UTF-8'],
      ['another version', () => agentConfig({ version: 2 }), 'version: must be 1'],
      ['a misspelt key', () => agentConfig({ colector: {} }), 'colector: unknown field; did you mean "collector"?'],
      [
        'a state directory of the kernel',
        () => agentConfig({ state_dir: '/proc/relight' }),
        'state_dir: "/proc/relight" cannot hold state',
      ],
      ['an engine elsewhere', () => agentConfig({ engine: { socket: 'tcp://10.0.0.1:2375' } }), 'its own host only'],
      ['a collector without a scheme', () => agentConfig({ collector: { url: 'collector:7460' } }), 'collector.url: must be a base URL'],
      ['an undeclared variable', () => agentConfig({}, { depends_on: [{ tcp: '${HEAD}:1' }] }), 'HEAD'],
      ['a duration without a unit', () => agentConfig({}, { start_deadline: 5 }), 'start_deadline: must be a duration with a unit'],
      [
        'a delay below zero',
        () => agentConfig({}, { restart: { process: { initial: '-1s' } } }),
        'restart.process.initial: must be a duration',
      ],
      ['a later field', () => agentConfig({}, {}, { platform: 'linux/amd64' }), 'container.platform: not supported yet'],
      ['a log file without a place', () => agentConfig({}, { logs: { files: ['x.log'] } }), 'logs.files[0]: must be an absolute path'],
      ['a secret that is no expression', () => agentConfig({}, { logs: { redact: ['('] } }), 'logs.redact[0]: '],
      ['an unknown restart policy', () => agentConfig({}, {}, { restart: 'always' }), 'container.restart'],
      ['no image', () => agentConfig({}, {}, { image: null }), 'container.image'],
      ['two forms of network', () => agentConfig({}, {}, { network_mode: 'host', networks: ['a'] }), 'network'],
      ['a step without a command', () => agentConfig({}, { setup: [{ name: 'x' }] }), 'setup[0].run: is required'],
      ['a check of two kinds', () => agentConfig({}, { ready: [{ tcp: 'a:1', exec: 'true' }] }), 'ready[0]: has tcp and exec'],
    ])('%s', async (_, content, message) => {
      const file = join(directory, 'wrong.yaml');
      writeFileSync(file, content());
      try {
        expect(await call('agent', `${command} --config wrong.yaml`)).toEqual(refusal(message));
      } finally {
        rmSync(file);
      }
    });
  });
});

describe('relight-collector', () => {
  test.each<[string, string]>([
    ['sreve', "unknown command 'sreve'"],
    ['serve --bogus', "unknown option '--bogus'"],
    ['serve extra', "too many arguments for 'serve'"],
    ['serve --config missing.yaml', 'missing.yaml'],
    ['serve --config a-directory', 'a-directory'],
    ['serve --listen here', '"here" is not HOST:PORT'],
    ['serve --listen 127.0.0.1:70000', '"127.0.0.1:70000" is not HOST:PORT'],
    ['serve --data-dir /proc/relight', 'the data directory /proc/relight cannot be used'],
    ['serve --data-dir a-file', 'a-file cannot be used'],
    ['serve --data-dir a-file/below', 'cannot be used'],
    ['backup', "missing required argument 'dir'"],
    ['backup a b', "too many arguments for 'backup'"],
    ['backup --data-dir nothing-here new', 'it holds no data of a collector'],
    ['verify extra', "too many arguments for 'verify'"],
    ['verify --data-dir nothing-here', 'it holds no data of a collector'],
    ['token create', "required option '--kind <kind>' not specified"],
    ['token create --kind admin', 'It is agent, join or operator'],
    ['token create --kind operator --host h', '--host belongs to agent tokens only'],
    ['token create --kind agent --data-dir /proc/relight', 'cannot be used'],
    ['token list extra', "too many arguments for 'list'"],
    ['token list --data-dir a-file', 'cannot be used'],
    ['token revoke', "missing required argument 'id'"],
    ['token forget', "unknown command 'forget'"],
  ])('%s', async (line, message) => {
    expect(await call('collector', line)).toEqual(refusal(message));
  });

  test('a wrong environment', async () => {
    expect(
      await call('collector', 'serve', {
        RELIGHT_COLLECTOR_LISTEN: 'x',
        RELIGHT_COLLECTOR_DATA_DIR: join(directory, 'data'),
      }),
    ).toEqual(refusal('HOST:PORT'));
  });

  test.each<[string, object | string, string]>([
    ['not YAML', 'version: [1', ':1:'],
    ['another version', { version: 2 }, 'version: must be 1'],
    ['a misspelt key', { version: 1, livenes: {} }, 'livenes: unknown key; did you mean "liveness"?'],
    ['a misspelt key below', { version: 1, liveness: { heartbeet: '1s' } }, 'liveness.heartbeet: unknown key; did you mean "heartbeat"?'],
    ['an order that cannot be', { version: 1, liveness: { suspect_after: '5s' } }, 'heartbeat < suspect_after < dead_after'],
    ['a duration without a unit', { version: 1, retention: { events: 90 } }, 'retention.events'],
    ['a threshold', { version: 1, alerts: { repeated_restarts: { warning: '3' } } }, 'alerts.repeated_restarts.warning'],
    ['a sink', { version: 1, alerts: { sinks: [{ type: 'mail', url: 'http://x' }] } }, 'must be webhook or alertmanager'],
    ['a sink without a URL', { version: 1, alerts: { sinks: [{ type: 'webhook', url: 'x' }] } }, 'an http or https URL'],
    ['an address', { version: 1, listen: 'x' }, 'HOST:PORT'],
  ])('serve with a configuration that is wrong: %s', async (_, content, message) => {
    const file = join(directory, 'wrong.yaml');
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify({ ...content, data_dir: join(directory, 'data') }, null, 1));
    try {
      expect(await call('collector', 'serve --config wrong.yaml')).toEqual(refusal(message));
    } finally {
      rmSync(file);
    }
  });
});

describe('relight', () => {
  test.each<[string, string]>([
    ['statsu', "unknown command 'statsu'"],
    ['status extra', "too many arguments for 'status'"],
    ['status --url nowhere', '"nowhere" is not the address of a collector'],
    ['status --url ftp://x', '"ftp://x" is not the address of a collector'],
    ['status --token-file missing', 'the token file cannot be read'],
    ['status --ca-file missing', 'the certificate file cannot be read'],
    ['host', "missing required argument 'name'"],
    ['events --kind container.dead', 'Did you mean container.died?'],
    ['events --severity bad', 'Allowed: info, warning, error, critical'],
    ['events --since yesterday', 'Expected how long ago'],
    ['events --until 25:00', 'Expected how long ago'],
    ['incidents a b', "too many arguments for 'incidents'"],
    ['alerts --bogus', "unknown option '--bogus'"],
    ['tail -n many', 'Expected a number'],
    ['tail --grep (', 'RE2 syntax'],
    ['tail --since soon', 'Expected how long ago'],
    ['tail --label =', 'Expected a selector'],
    ['tail --level loud', 'Allowed: debug, info, warning, error, critical'],
    ['tail -A x', 'Expected a number'],
    ['search --level loud x', 'Allowed: debug, info, warning, error, critical'],
    ['search --grep (', 'RE2 syntax'],
    ['search x -C many', 'Expected a number'],
    ['search x --since soon', 'Expected how long ago'],
    ['export --format pdf', 'Allowed: ndjson, text'],
    ['wait', "missing required argument 'target'"],
    ['wait a/b/c', 'a/b/c'],
    ['wait h --for redy', 'Did you mean ready?'],
    ['wait h --timeout 5', 'Expected a duration with a unit'],
    ['wait h --interval 0s', 'Expected a duration with a unit'],
    ['restart', "missing required argument 'target'"],
    ['restart h/w/x', 'Expected HOST or HOST/WORKLOAD'],
    ['restart h --level host', 'Allowed: process, container'],
    ['restart h --for 1h', "unknown option '--for'"],
    ['pause h --for long', 'Expected a duration with a unit'],
    ['pause h --level process', "unknown option '--level'"],
    ['resume', "missing required argument 'target'"],
    ['resume /', 'Expected HOST or HOST/WORKLOAD'],
    ['expect', "missing required argument 'host'"],
    ['expect h --within 5', 'Expected a duration with a unit'],
    ['expect h --within 5m --label x', 'Expected KEY=VALUE'],
    ['forget', "missing required argument 'host'"],
    ['forget a b', "too many arguments for 'forget'"],
  ])('%s', async (line, message) => {
    expect(await call('relight', line)).toEqual(refusal(message));
  });

  test('a wrong environment', async () => {
    expect(await call('relight', 'status', { RELIGHT_URL: 'nowhere' })).toEqual(refusal('is not the address of a collector'));
    expect(await call('relight', 'status', { RELIGHT_TOKEN_FILE: 'missing' })).toEqual(refusal('the token file cannot be read'));
    expect(await call('relight', 'status', { RELIGHT_TOKEN_FILE: 'two words' })).toEqual(refusal('no token has'));
  });
});
