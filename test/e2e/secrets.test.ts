/**
 * Secrets out of env_file, and what the patterns of logs.redact match, appear nowhere, whoever prints them: the workload, a failing step, a check, a mount program. Only the
 * container itself and the run files below the agent's state directory, which never leave the host, may hold them.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Bystander } from '../support/bystander.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';

const host = 'secret-0';
const token = 'hf_S3cretTokenForTests';
const password = 'p4ss w0rd; $(with) "quotes" \\ ü';
/** No value of an env file: a pattern says what it looks like. */
const minted = 'xoxb-MintedByTheProgram-42';
const secrets = [token, password, minted];
let lab: Lab;
let agent: LabAgent;

const flag = (name: string): string => join(lab.directory, 'flags', name);

/** Files below a directory that hold any of the secrets, in plain or as JSON writes them. What goes away meanwhile holds none. */
function holders(directory: string, except: (path: string) => boolean = () => false, wanted = secrets): readonly string[] {
  const needles = wanted.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]).map((secret) => Buffer.from(secret));
  const entries = unlessGone(() => readdirSync(directory, { withFileTypes: true })) ?? [];
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name);
    if (except(path)) return [];
    if (entry.isDirectory()) return holders(path, except, wanted);
    const bytes = entry.isFile() ? unlessGone(() => readFileSync(path)) : undefined;
    return bytes !== undefined && needles.some((needle) => bytes.includes(needle)) ? [path] : [];
  });
}

function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Those that stand in it, in plain or as JSON writes them. */
function leaks(what: unknown): readonly string[] {
  const text = typeof what === 'string' ? what : JSON.stringify(what);
  if (text.length <= 2) throw new Error('nothing to search in');
  return secrets.filter((secret) => text.includes(secret) || text.includes(JSON.stringify(secret).slice(1, -1)));
}

const say = 'echo "token $TOKEN"; echo "password $PASSWORD" >&2; echo "minted $(cat /flag/minted)" >&2';

beforeAll(async () => {
  lab = await startLab({
    engineSocket: inject('engineSocket'),
    collector: { alerts: { repeated_restarts: { warning: '1 in 10m', critical: '2 in 10m', resolve_after: '10m' } } },
  });
  mkdirSync(join(lab.directory, 'flags'), { recursive: true });
  writeFileSync(flag('minted'), `${minted}\n`);
  const envFile = join(lab.directory, 'secrets.env');
  writeFileSync(envFile, `# of the tests\nTOKEN=${token}\nPASSWORD='${password}'\n`, { mode: 0o600 });
  const container = (name: string): Record<string, unknown> => ({
    name: `e2e-secret-${name}-${process.pid}`,
    image: inject('engineImage'),
    pull_policy: 'never',
    init: true,
    env_file: [envFile],
    cap_add: ['SYS_ADMIN'],
    devices: ['/dev/fuse'],
    security_opt: ['apparmor=unconfined'],
    volumes: [`${join(lab.directory, 'flags')}:/flag`],
  });
  const restart = {
    process: { initial: '200ms', max: '1s', jitter: 0, escalate_after: 10 },
    container: { initial: '200ms', max: '1s', jitter: 0 },
  };
  const logs = { redact: ['xoxb-[\\w-]+'] };
  agent = await lab.addAgent({
    host,
    workloads: [
      {
        name: 'talker',
        logs,
        container: { ...container('talker'), command: ['sh', '-c', `${say}; exec sleep infinity`] },
        mounts: [{ name: 'data', type: 'command', run: `${say}; mkdir -p /src /mnt/d; exec bindfs -f /src /mnt/d`, target: '/mnt/d' }],
        setup: [
          { name: 'says it', run: say },
          { name: 'fails with it', run: `${say}; exit 3`, optional: true },
        ],
        process: { before: say, run: `${say}; exec sleep infinity`, stop_timeout: '1s' },
        ready: [{ exec: say, interval: '200ms' }],
        live: [
          { name: 'tells', exec: `test ! -e /flag/bad || { ${say}; exit 1; }`, interval: '200ms', failures: 10_000, restarts: 'none' },
        ],
      },
      {
        name: 'failing',
        logs,
        container: { ...container('failing'), command: ['sleep', 'infinity'] },
        setup: [{ name: 'required', run: `test -e /flag/ok || { ${say}; exit 4; }` }],
        process: { run: 'exec sleep infinity' },
        restart,
      },
      {
        name: 'broken-mount',
        logs,
        container: { ...container('broken-mount'), command: ['sleep', 'infinity'] },
        mounts: [{ name: 'bad', type: 'command', run: `${say}; exit 5`, target: '/mnt/bad', timeout: '5s' }],
        process: { run: 'exec sleep infinity' },
        restart,
      },
      {
        name: 'never-ready',
        logs,
        container: { ...container('never-ready'), command: ['sleep', 'infinity'] },
        process: { run: 'exec sleep infinity', stop_timeout: '1s' },
        ready_window: '1s',
        ready: [{ exec: `${say}; exit 6`, interval: '200ms' }],
        restart,
      },
    ],
  });
});

afterAll(async () => {
  await lab?.dispose();
});

describe('after everything that could print them has done so', () => {
  beforeAll(async () => {
    await lab.fleet.waitForPhase(host, 'talker', 'ready');
    writeFileSync(flag('bad'), '');
    await lab.fleet.waitForPhase(host, 'talker', 'degraded');
    for (const workload of ['failing', 'broken-mount', 'never-ready']) {
      const scheduled = { host, workload, kind: 'restart.scheduled' };
      await waitFor(async () => (await lab.fleet.events(scheduled)).length >= 2, {
        timeoutMs: 30_000,
        what: `two failures of ${workload}`,
      });
    }
    await waitFor(() => lab.webhook.alerts().length >= 3, { timeoutMs: 30_000, what: 'alerts of three workloads' });
    for (const source of ['container', 'process', 'setup', 'mount']) {
      const said = async (): Promise<boolean> => {
        const lines = JSON.stringify(await lab.fleet.logs({ host, workload: 'talker', source }));
        return ['token ', 'password ', 'minted '].every((words) => lines.includes(words));
      };
      await waitFor(said, { timeoutMs: 30_000, what: `the lines of ${source}` });
    }
  });

  test('lines keep the rest of what was said', async () => {
    const lines = (await lab.fleet.logs({ host, workload: 'talker', source: 'process' })).flatMap((entry) =>
      'line' in entry ? [entry.line] : [],
    );
    expect(lines).toContain('token [redacted]');
    expect(lines).toContain('password [redacted]');
    expect(lines).toContain('minted [redacted]');
  });

  test('events, status, hosts, alerts and logs of the API', async () => {
    const events = await lab.fleet.events({ host });
    expect(events.map(({ message }) => message).join('\n')).toContain('[redacted]');
    expect(leaks(events)).toEqual([]);
    expect(leaks(await lab.fleet.hosts())).toEqual([]);
    expect(leaks(await lab.fleet.alerts())).toEqual([]);
    expect(leaks(await lab.fleet.logs({ host }))).toEqual([]);
    expect(leaks(lab.webhook.notifications)).toEqual([]);
  });

  test.each([
    ['status'],
    ['host', host],
    ['events', '--host', host, '--json'],
    ['alerts', '--json'],
    ['tail', '--host', host, '-n', '10000', '--no-follow'],
  ])('relight %s', async (...args) => {
    const { stdout, stderr } = await lab.relight(...args);
    expect(leaks(stdout + stderr)).toEqual([]);
  });

  test('the commands on the host', async () => {
    for (const args of [
      ['status'],
      ['status', '--json'],
      ['plan', '--config', agent.configFile],
      ['plan', '--config', agent.configFile, '--json'],
    ]) {
      const { code, stdout, stderr } = await lab.agentCommand(agent, ...args);
      expect(code).toBe(0);
      expect(leaks(stdout + stderr)).toEqual([]);
    }
  });

  test('the log of the agent and of the collector', () => {
    expect(leaks(readFileSync(agent.service.logFile, 'utf8'))).toEqual([]);
    expect(leaks(readFileSync(lab.collector.logFile, 'utf8'))).toEqual([]);
  });

  test("the collector's files, and the agent's but for its run files", async () => {
    expect(holders(join(lab.directory, 'collector'))).toEqual([]);
    expect(holders(agent.stateDir, (path) => path.startsWith(join(agent.stateDir, 'runs')))).toEqual([]);
    // And once more when both have written what they had in hand.
    await agent.service.stop();
    await lab.collector.stop();
    expect(holders(join(lab.directory, 'collector'))).toEqual([]);
    expect(holders(agent.stateDir, (path) => path.startsWith(join(agent.stateDir, 'runs')))).toEqual([]);
    // The search itself finds them where they may be.
    expect(holders(join(agent.stateDir, 'runs')).length).toBeGreaterThan(0);
  });

  test('what a running container was given stays secret when its file says something else by now', async () => {
    await lab.collector.stop();
    await lab.collector.start();
    await agent.service.stop();
    writeFileSync(join(lab.directory, 'secrets.env'), 'TOKEN=hf_AnotherTokenByNow\nPASSWORD=another\n');
    const since = new Date().toISOString();
    await agent.service.start();
    const failed = { host, workload: 'talker', kind: 'check.failed', since };
    const event = await lab.fleet.waitForEvent(failed, () => true, 'the live check to fail under the new agent');
    expect(event.message).toContain('[redacted]');
    expect(leaks(event)).toEqual([]);
    expect(leaks(await lab.fleet.hosts())).toEqual([]);
  });
});

test('of a workload that the configuration has no more, what it had printed and was not sent yet', async () => {
  const envFile = join(lab.directory, 'removed.env');
  writeFileSync(envFile, `TOKEN=${token}\nPASSWORD='${password}'\n`, { mode: 0o600 });
  const worker = await Bystander.ready(lab, 'secret-removed', inject('engineImage'), {
    logs: { redact: ['xoxb-[\\w-]+'] },
    container: { env_file: [envFile], volumes: [`${join(lab.directory, 'flags')}:/flag`] },
    process: { run: `until test -e /flag/removed; do sleep 0.1; done; ${say}; exec sleep infinity`, stop_timeout: '500ms' },
  });
  const { agent: removed } = worker;
  await lab.collector.stop();
  await removed.service.stop();
  writeFileSync(flag('removed'), '');
  // Each by a command of its own, and the container is about to go: the one that comes last.
  await waitFor(() => holders(join(removed.stateDir, 'runs'), () => false, [minted]).length > 0, { what: 'the secrets to be printed' });
  // What the engine knows of its environment goes with the container.
  await lab.engine.remove((await worker.container()).id);
  removed.configure([]);
  await removed.service.start();
  await lab.collector.start();
  const lines = async (): Promise<readonly string[]> =>
    (await lab.fleet.logs({ host: 'secret-removed', source: 'process' })).flatMap((entry) => ('line' in entry ? [entry.line] : []));
  // The agent has dialled in vain: it waits for up to half a minute before it does so again.
  await waitFor(async () => (await lines()).some((line) => line.startsWith('minted ')), { timeoutMs: 60_000, what: 'its lines' });
  expect((await lines()).toSorted()).toEqual(['minted [redacted]', 'password [redacted]', 'token [redacted]']);
  await removed.service.stop();
});
