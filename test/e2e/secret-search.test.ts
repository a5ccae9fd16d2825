/**
 * A different secret in every place where people write one, and then a search for each of them in all that is stored, sent and shown. secrets.test.ts
 * is about programs that print what they were given; this is about what Relight itself says of its configuration.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { programs, runProgram, startLab, type Lab } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';
import { startWebhook, type Webhook } from '../support/webhook.ts';
import { startWireTap, type WireTap } from '../support/wire-tap.ts';

const host = 'secret-search';
const planted: Record<string, string> = {
  'env file': 'Planted-In-An-Env-File',
  environment: 'Planted-In-The-Environment',
  variable: 'Planted-In-A-Variable',
  'variable of a command': 'Planted-By-A-Command',
  pattern: 'xoxb-Planted-In-A-Line',
  'setup command': 'Planted-In-Setup',
  'host command': 'Planted-On-The-Host',
  'process command': 'Planted-In-The-Process',
  check: 'Planted-In-A-Check',
  'container label': 'Planted-In-A-Label',
  'proxy of the agent': 'Planted-In-A-Proxy',
  'webhook password': 'Planted-For-The-Webhook',
  'webhook query': 'Planted-In-A-Query',
};
/** Written into a command or a label: whoever may read the agent's own files, or sees them in a support bundle, sees those ones, as the documents say. */
const inCommands: ReadonlySet<string> = new Set(['setup command', 'host command', 'process command', 'check', 'container label']);

let lab: Lab;
let tap: WireTap;
let webhook: Webhook;
let worker: Bystander;

const flag = (name: string): string => join(lab.directory, 'flags', name);

/** As people, JSON, addresses and headers write it. */
function forms(secret: string): readonly Buffer[] {
  const texts = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), Buffer.from(secret).toString('hex')];
  // Base64 of a longer text in which it begins at any of the three places.
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.from(`${'-'.repeat(shift)}${secret}`)
      .toString('base64')
      .replace(/=+$/, '')
      .slice(shift === 0 ? 0 : 4, -2),
  );
  return [...new Set([...texts, ...base64])].map((text) => Buffer.from(text));
}

function found(bytes: Buffer | string): readonly string[] {
  const buffer = Buffer.from(bytes);
  if (buffer.length === 0) throw new Error('nothing to search in');
  return Object.keys(planted).filter((name) => forms(planted[name] ?? '').some((form) => buffer.includes(form)));
}

/** Path below the directory → what its file holds. A file that goes away meanwhile holds nothing. */
function foundBelow(directory: string): Readonly<Record<string, readonly string[]>> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(files.length).toBeGreaterThan(3);
  return Object.fromEntries(
    files.flatMap(({ parentPath, name }) => {
      const path = join(parentPath, name);
      const bytes = contents(path);
      const secrets = bytes.length === 0 ? [] : found(bytes);
      return secrets.length === 0 ? [] : [[relative(directory, path), secrets] as const];
    }),
  );
}

function contents(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

const printAll = 'echo "file $FILE_VALUE env $HF_TOKEN var $CLUSTER_SECRET run $JOIN_PASSWORD line xoxb-Planted-In-A-Line"';
const printOnHost = (): string => `cat ${join(lab.directory, 'search.env')}; echo "var $CLUSTER_SECRET line xoxb-Planted-In-A-Line"`;

beforeAll(async () => {
  webhook = await startWebhook();
  const sink = webhook.url.replace('http://', `http://robot:${planted['webhook password']}@`);
  lab = await startLab({
    engineSocket: inject('engineSocket'),
    collector: {
      alerts: {
        sinks: [{ type: 'webhook', url: `${sink}?key=${planted['webhook query']}` }],
        repeated_restarts: { warning: '1 in 10m', critical: '2 in 10m', resolve_after: '10m' },
      },
    },
  });
  tap = await startWireTap(lab.url);
  mkdirSync(join(lab.directory, 'flags'));
  writeFileSync(join(lab.directory, 'join.password'), `${planted['variable of a command']}\n`, { mode: 0o600 });
  writeFileSync(join(lab.directory, 'search.env'), `FILE_VALUE=${planted['env file']}\n`, { mode: 0o600 });
  for (const kind of ['agent', 'join', 'operator']) {
    const more = kind === 'agent' ? ['--host', host] : [];
    const made = await runProgram(
      [programs.collector, 'token', 'create', '--kind', kind, ...more, '--data-dir', join(lab.directory, 'collector')],
      {},
    );
    if (made.code !== 0) throw new Error(`no ${kind} token: ${made.stderr}`);
    planted[`${kind} token`] = made.stdout.trim().split(/\s+/).at(-1) ?? '';
  }
  planted['token of the operator'] = readFileSync(lab.operatorTokenFile, 'utf8').trim();
  const tokenFile = join(lab.directory, 'search.token');
  writeFileSync(tokenFile, `${planted['agent token']}\n`, { mode: 0o600 });
  worker = await Bystander.start(
    lab,
    host,
    inject('engineImage'),
    {
      logs: { redact: ['xoxb-[\\w-]+'] },
      container: {
        env_file: [join(lab.directory, 'search.env')],
        environment: { HF_TOKEN: planted['environment'] },
        labels: { 'com.example.note': planted['container label'] },
        volumes: [`${join(lab.directory, 'flags')}:/flag`],
      },
      setup: [
        { name: 'says it', run: printAll },
        { name: 'fails', run: `: --password ${planted['setup command']}; ${printAll}; exit 3`, optional: true },
      ],
      process: {
        run: `: --api-key=${planted['process command']}; ${printAll}; while test ! -e /flag/bad; do sleep 0.1; done; exit 7`,
        stop_timeout: '500ms',
      },
      live: [
        {
          name: 'looks',
          exec: `: Bearer ${planted['check']}; ${printAll} >&2; test ! -e /flag/sick`,
          interval: '200ms',
          failures: 10_000,
          restarts: 'none',
        },
      ],
    },
    { env: { HTTPS_PROXY: `http://robot:${planted['proxy of the agent']}@127.0.0.1:9` } },
    {
      setup: [
        { name: 'on the host', run: `: --token ${planted['host command']}; exit 0` },
        // It holds the gate until it is tried again.
        { name: 'prints on the host', run: `${printOnHost()}; test -e ${flag('host')} || { touch ${flag('host')}; exit 3; }` },
      ],
    },
    {
      vars: { CLUSTER_SECRET: planted['variable'], JOIN_PASSWORD: { run: `cat ${join(lab.directory, 'join.password')}` } },
      collector: { url: tap.url, token_file: tokenFile },
    },
  );
  await worker.phase('ready');
  writeFileSync(flag('sick'), '');
  await worker.phase('degraded');
  writeFileSync(flag('bad'), '');
  await waitFor(async () => (await lab.fleet.events({ host, kind: 'restart.scheduled' })).length >= 2, {
    timeoutMs: 60_000,
    what: 'restarts of the process',
  });
  await waitFor(() => webhook.alerts().length > 0, { timeoutMs: 60_000, what: 'an alert' });
  for (const source of ['process', 'setup']) {
    const said = async (): Promise<boolean> =>
      JSON.stringify(await lab.fleet.logs({ host, workload: host, source })).includes('[redacted]');
    await waitFor(said, { timeoutMs: 60_000, what: `the lines of ${source}` });
  }
});

afterAll(async () => {
  await lab?.dispose();
  await tap?.[Symbol.asyncDispose]();
  await webhook?.[Symbol.asyncDispose]();
});

describe('nothing of what was planted', () => {
  test('is found by a search that finds it in every form', () => {
    const [secret = ''] = Object.values(planted);
    for (const text of [
      secret,
      encodeURIComponent(secret),
      Buffer.from(`a${secret}`).toString('base64'),
      Buffer.from(`robot:${secret}`).toString('base64'),
    ])
      expect(found(text)).toEqual(['env file']);
    expect(Object.values(planted).every((value) => value.length > 12)).toBe(true);
  });

  test('is in what the agent has sent', () => {
    const sent = tap.heard.filter(({ from }) => from === 'agent').map(({ payload }) => payload);
    expect(sent.length).toBeGreaterThan(10);
    expect(Buffer.concat(sent).includes('restart.scheduled')).toBe(true);
    expect(found(Buffer.concat(sent))).toEqual([]);
  });

  test.each([
    ['status'],
    ['host', host],
    ['events', '--host', host, '--json'],
    ['incidents', '--json'],
    ['alerts', '--json'],
    ['audit', '--json'],
    ['export', '--host', host],
  ])('is in relight %s', async (...args) => {
    const { code, stdout, stderr } = await lab.relight(...args);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(found(`${stdout}\n${stderr}`)).toEqual([]);
  });

  test('is in the metrics, nor in what the webhook was told', async () => {
    const response = await fetch(`${lab.url}/metrics`, { headers: { authorization: `Bearer ${planted['token of the operator']}` } });
    expect(response.status).toBe(200);
    expect(found(await response.text())).toEqual([]);
    expect(found(JSON.stringify(webhook.notifications))).toEqual([]);
  });

  test('is in the logs of agent and collector', () => {
    expect(found(readFileSync(worker.agent.service.logFile))).toEqual([]);
    expect(found(readFileSync(lab.collector.logFile))).toEqual([]);
  });

  test('is in a support bundle, but for what a person has written into a command', async () => {
    const ours = join(lab.directory, 'operator.tar.gz');
    expect(await lab.relight('support-bundle', '-o', ours)).toMatchObject({ code: 0 });
    const theirs = join(lab.directory, 'agent.tar.gz');
    expect(await lab.agentCommand(worker.agent, 'support-bundle', '-o', theirs)).toMatchObject({ code: 0 });
    const ofTheCollector = join(lab.directory, 'collector.tar.gz');
    const configFile = join(lab.directory, 'collector.yaml');
    expect(await runProgram([programs.collector, 'support-bundle', '--config', configFile, '-o', ofTheCollector], {})).toMatchObject({
      code: 0,
    });
    const text = (file: string): string => execFileSync('tar', ['-xzOf', file], { encoding: 'utf8' });
    expect(found(text(ours))).toEqual([]);
    // It has looked at what has secrets in it.
    expect(text(ofTheCollector)).toMatch(/url: http:\/\/127\.0\.0\.1:\d+/);
    expect(text(ofTheCollector)).toContain('"operator, valid": 2');
    expect(found(text(ofTheCollector))).toEqual([]);
    expect(found(text(theirs)).filter((name) => !inCommands.has(name))).toEqual([]);
  });

  test('is in what is told of a host command that failed and printed it', async () => {
    const said = (await lab.fleet.events({ host, kind: 'setup.step-failed' })).filter(({ data }) => data['level'] === 'host');
    expect(said).toMatchObject([
      {
        message: expect.stringContaining('exit code 3: FILE_VALUE=[redacted] | var [redacted] line [redacted]'),
        data: { step: 'prints on the host', lastLines: ['FILE_VALUE=[redacted]', 'var [redacted] line [redacted]'] },
      },
    ]);
    const raised = (await lab.fleet.events({ host, kind: 'host.notice' })).filter(({ data }) => data['condition'] === 'host-setup-failed');
    expect(raised.length).toBeGreaterThan(0);
    const waited = await lab.fleet.events({ host, kind: 'host.gate-waiting' });
    expect(JSON.stringify(waited)).toContain('prints on the host');
  });

  test('is in the command lines of agent and collector', () => {
    for (const pid of [worker.agent.service.pid, lab.collector.pid]) expect(found(readFileSync(`/proc/${pid}/cmdline`))).toEqual([]);
  });

  test("is in the collector's files; the agent's hold the configuration, and what programs have printed, for root alone", async () => {
    await worker.agent.service.stop();
    await lab.collector.stop();
    expect(foundBelow(join(lab.directory, 'collector'))).toEqual({});
    const { stateDir } = worker.agent;
    expect(statSync(stateDir).mode & 0o777).toBe(0o700);
    const others = Object.entries(foundBelow(stateDir)).filter(([path]) => !/^(?:host-setup|journal|runs|workloads)\//.test(path));
    expect(Object.fromEntries(others)).toEqual({});
  });
});
