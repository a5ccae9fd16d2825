import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runCli } from './cli.ts';
import { systemClock } from '@relight/shared/clock';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));

function relightAgent(args: readonly string[], cwd?: string): { code: number | null; out: string; err: string } {
  const { RELIGHT_STATE_DIR: _dir, RELIGHT_CONFIG: _config, ...env } = process.env;
  const done = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env, cwd, timeout: 100_000 });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

async function inProcess(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const write = (text: string): void => void (out += text);
  const code = await runCli(args, { env: {}, clock: systemClock, columns: null, write, note: (text) => void (err += `${text}\n`) });
  return { code, out, err };
}

test('status on a host that is not set up says so, and what to do', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'relight-cli-'));
  const config = join(directory, 'agent.yaml');
  let err = '';
  const note = (text: string): void => void (err += `${text}\n`);
  const status = (): Promise<number> =>
    runCli(['status', '--state-dir', directory], {
      env: { RELIGHT_CONFIG: config },
      clock: systemClock,
      columns: null,
      write: () => {},
      note,
    });
  expect(await status()).toBe(3);
  expect(err).toContain(`no agent is running with the state directory ${directory}, and there is no configuration: ${config} is not there`);
  expect(err).toContain('Make it: relight-agent setup.');
  writeFileSync(config, 'version: 1\nworkloads: []\n');
  err = '';
  expect(await status()).toBe(3);
  expect(err).not.toContain('setup');
  expect(err).not.toContain(config);
  // The service tries it every few seconds, and ends: "start it" alone would lead nowhere.
  writeFileSync(config, 'version: 1\nwrkloads: []\n');
  err = '';
  expect(await status()).toBe(3);
  expect(err).toContain(`no agent is running with the state directory ${directory}, and none can be started with its configuration:\n`);
  expect(err).toContain(`${config}:2:1: wrkloads: unknown field; did you mean "workloads"?\nCorrect the named field`);
  expect(err).toContain('relight-agent check');
});

test.runIf(process.getuid?.() === 0)('who is not root is told so: not that nothing has failed, and not by the trace of a stack', () => {
  const directory = mkdtempSync(join(tmpdir(), 'relight-cli-'));
  for (const name of ['incidents', 'journal']) mkdirSync(join(directory, name));
  writeFileSync(join(directory, 'identity.json'), '{}');
  const config = join(directory, 'agent.yaml');
  writeFileSync(config, 'version: 1\n', { mode: 0o600 });
  chmodSync(directory, 0o711);
  const asNobody = (...args: readonly string[]): { code: number | null; out: string; err: string } => {
    const program = `import { runCli } from ${JSON.stringify(join(import.meta.dirname, 'cli.ts'))};
      import { processIo } from ${JSON.stringify(join(import.meta.dirname, 'io.ts'))};
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      process.exitCode = await runCli(${JSON.stringify(args)}, processIo);`;
    const env = { ...process.env, NODE_OPTIONS: '' };
    const done = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8', env, timeout: 100_000 });
    return { code: done.status, out: done.stdout, err: done.stderr };
  };
  const refused = /^relight-agent: .*permission denied.*\nRun this command as root: sudo relight-agent …\n$/;
  const ofState = [['incidents'], ['incidents', 'x'], ['replay'], ['join', 'https://127.0.0.1:1', 'rlj_x', '--host', 'h']];
  const ofConfig = [['check'], ['plan']];
  for (const args of [
    ...ofState.map((words) => [...words, '--state-dir', directory]),
    ...ofConfig.map((words) => [...words, '--config', config]),
  ])
    expect({ args, ...asNobody(...args) }).toEqual({ args, code: 2, out: '', err: expect.stringMatching(refused) as string });
});

test('what is refused to root is no want of root: it keeps its trace', async () => {
  const refused = Object.assign(new Error('operation not permitted, chown'), { code: 'EPERM' });
  const said: string[] = [];
  const write = (): void => {
    throw refused;
  };
  const help = (uid: number): Promise<number> =>
    runCli(['--help'], { env: {}, clock: systemClock, columns: null, write, note: (text) => void said.push(text) }, uid);
  await expect(help(0)).rejects.toBe(refused);
  expect(said).toEqual([]);
  expect(await help(1000)).toBe(2);
  expect(said).toEqual([`relight-agent: ${refused.message}\nRun this command as root: sudo relight-agent …`]);
});

describe('command line', () => {
  test.each([
    'setup',
    'run',
    'check',
    'plan',
    'status',
    'pause',
    'resume',
    'restart',
    'replay',
    'import ray',
    'import container',
    'import docker-run',
  ])('%s --help explains itself with an example', async (command) => {
    const { code, out, err } = await inProcess([...command.split(' '), '--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(`Usage: relight-agent ${command}`);
    expect(out).toContain(`  $ relight-agent ${command}`);
  });

  test.each([
    [['statsu'], "unknown command 'statsu'\n(Did you mean status?)\nSee --help."],
    [['status', '--stat-dir', 'x'], "unknown option '--stat-dir'\n(Did you mean --state-dir?)"],
    [['status', 'w'], "too many arguments for 'status'"],
    [['status', '--state-dir', ''], 'It is empty'],
    [['status', '--state-dir', '/proc/relight'], '/proc belongs to the kernel'],
    [['run'], "required option '-c, --config <file>' not specified"],
    [['run', '--config'], 'argument missing'],
    [['run', '--config', 'x', '--log-level', 'loud'], 'Allowed choices are debug, info, warn, error'],
    [['pause', '--for', '5'], 'like 30m or 2h'],
    [['pause', '--level', 'process'], "unknown option '--level'"],
    [['pause', ''], 'It is empty'],
    [['restart', 'w', '--level', 'host'], 'Allowed choices are process, container'],
    [['restart', 'w', '--for', '2h'], "unknown option '--for'"],
    [['restart', 'w', '--reason', 'x'.repeat(1001)], 'more than 1000 characters'],
    [['import', 'docker'], "unknown command 'docker'"],
    [['import', 'ray', 'none.yaml'], 'none.yaml: there is no such file'],
    [['import', 'ray', '/dev/zero'], '/dev/zero: it is longer than 4.0 MiB'],
    [['setup', '--force', '--config', '/dev/zero', '--ray-yaml', '/dev/zero', '--yes'], 'it is longer than 4.0 MiB'],
    [['check', '--config', '/dev/zero'], '/dev/zero: it is longer than 4.0 MiB'],
    [['import', 'ray'], "missing required argument 'file'"],
    [['import', 'ray', 'x', '--node-typ', 'y'], '(Did you mean --node-type?)'],
    [['import', 'docker-run'], "missing required argument 'command'"],
  ])('%j is wrong usage, said once', async (args, message) => {
    const { code, out, err } = await inProcess(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(message);
    expect(err.match(/^relight-agent: /gm)).toHaveLength(1);
  });

  test('as a process: exit codes, one message, and nothing is touched', () => {
    const cwd = mkdtempSync(join(tmpdir(), 'relight-cli-'));
    expect(relightAgent(['--version'], cwd)).toEqual({ code: 0, out: '0.1.0\n', err: '' });
    expect(relightAgent(['restrat', 'w'], cwd)).toEqual({
      code: 2,
      out: '',
      err: "relight-agent: unknown command 'restrat'\n(Did you mean restart?)\nSee --help.\n",
    });
    const unreachable = relightAgent(['status', '--state-dir', join(cwd, 'none')], cwd);
    expect(unreachable).toMatchObject({ code: 3, out: '' });
    expect(unreachable.err).toMatch(/^relight-agent: no agent is running with the state directory .*\n.*systemctl start relight-agent/);
    expect(relightAgent([], cwd)).toMatchObject({ code: 2, out: '' });
    expect(readdirSync(cwd)).toEqual([]);
  });

  test('a reader that goes away is not an error', () => {
    const done = spawnSync('bash', ['-c', `"$0" "$1" --help | true; echo "\${PIPESTATUS[0]}"`, process.execPath, main], {
      encoding: 'utf8',
    });
    expect(done.stdout).toBe('0\n');
    expect(done.stderr).toBe('');
  });

  test('what cannot be done says what to do next, and not only where help is', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'relight-cli-'));
    writeFileSync(join(directory, 'latin.yaml'), Buffer.from([0x76, 0xe9, 0x0a]));
    const state = ['--state-dir', directory];
    for (const [args, next] of [
      [['incidents', '20260131', ...state], 'List them: relight-agent incidents'],
      [['replay', 'no/id', ...state], 'List them: relight-agent incidents'],
      [['replay', '--workload', 'w', ...state], 'Choose another time with --since and --until'],
      [['status', '--state-dir', '/proc'], 'Give another directory: --state-dir DIR'],
      [['join', 'collector', 'rlj_a', ...state], 'as relight-collector init, or token create --kind join, has printed it'],
      [['join', 'http://127.0.0.1:1', 'rlj_a', '--fingerprint', 'a'.repeat(64), ...state], 'Write https: in front'],
      [['check', '--config', join(directory, 'latin.yaml')], 'Save it as UTF-8'],
    ] as const) {
      const { code, err } = await inProcess(args);
      expect(code).not.toBe(0);
      expect(err.split('\n').slice(1).join('\n')).toContain(next);
    }
  });
});
