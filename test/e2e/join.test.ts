/** From nothing to a connected host through the built commands: init, serve with TLS, join, run; and all that must be refused. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiAuditEntry, ApiToken } from '@relight/shared/api';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { FleetClient } from '../support/fleet-client.ts';
import { programs, runProgram } from '../support/lab.ts';
import { freePort } from '../support/ports.ts';
import { Service } from '../support/service.ts';
import { waitFor } from '../support/wait.ts';

interface Made {
  readonly url: string;
  readonly fingerprint: string;
  readonly operatorToken: string;
  readonly join: string;
}

let directory: string;
let dataDir: string;
let made: Made;
let collector: Service;
let fleet: FleetClient;
const services: Service[] = [];

const collectorCommand = (...args: readonly string[]) => runProgram([programs.collector, ...args, '--data-dir', dataDir], {});
const newJoinToken = async (...more: readonly string[]): Promise<string> =>
  (await collectorCommand('token', 'create', '--kind', 'join', ...more)).stdout.trim();
const stateOf = (host: string): string => join(directory, host, 'state');

/** The agent of a host without a collector in its configuration. */
function hostFiles(host: string): string {
  mkdirSync(join(directory, host), { recursive: true });
  const configFile = join(directory, host, 'agent.yaml');
  const document = {
    version: 1,
    host: { name: host },
    state_dir: stateOf(host),
    engine: { socket: inject('engineSocket') },
    workloads: [],
  };
  writeFileSync(configFile, JSON.stringify(document));
  return configFile;
}
const joinHost = (host: string, ...words: readonly string[]) =>
  runProgram([programs.agent, 'join', ...words, '--config', hostFiles(host)], {});

async function startAgent(host: string): Promise<Service> {
  const args = [programs.agent, 'run', '--config', join(directory, host, 'agent.yaml')];
  const service = new Service({ name: `agent of ${host}`, args, logFile: join(directory, host, 'agent.log') });
  services.push(service);
  await service.start();
  return service;
}
const joined = (host: string) => JSON.parse(readFileSync(join(stateOf(host), 'collector.json'), 'utf8')) as Record<string, string>;
const logHas = (service: Service, text: RegExp): Promise<unknown> =>
  waitFor(() => text.test(readFileSync(service.logFile, 'utf8')), { timeoutMs: 30_000, what: `${text} in ${service.logFile}` });

const audit = async (): Promise<readonly ApiAuditEntry[]> => (await fleet.api.list<ApiAuditEntry>('audit')).items;
/** Whatever its certificate. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(() => resolve(true)));
    socket.once('error', () => resolve(false));
  });
}

/** As an operator who pins the key: the certificate may be renewed. */
async function reopened(): Promise<FleetClient> {
  const { stdout } = await collectorCommand('certificate', 'show', '--json');
  return new FleetClient(made.url, made.operatorToken, (JSON.parse(stdout) as { keyFingerprint: string }).keyFingerprint);
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'relight-join-'));
  dataDir = join(directory, 'collector');
  const port = await freePort();
  const init = await collectorCommand('init', '--json', '--url', `https://127.0.0.1:${port}`);
  if (init.code !== 0) throw new Error(init.stderr);
  made = JSON.parse(init.stdout) as Made;
  fleet = new FleetClient(made.url, made.operatorToken, made.fingerprint);
  collector = new Service({
    name: 'collector',
    args: [programs.collector, 'serve', '--listen', `127.0.0.1:${port}`, '--data-dir', dataDir],
    logFile: join(directory, 'collector.log'),
    isUp: () => accepts(port),
  });
  services.push(collector);
  await collector.start();
});
afterAll(async () => {
  for (const service of services.toReversed()) await service.kill();
  rmSync(directory, { recursive: true, force: true });
});

test('the line that init prints joins a host, whose agent connects', async () => {
  const [program, ...words] = made.join.split(' ');
  expect(program).toBe('relight-agent');
  const done = await runProgram([programs.agent, ...words, '--config', hostFiles('h1')], {});
  expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining(`h1 has joined ${made.url}`) as string });
  expect(statSync(join(stateOf('h1'), 'collector.json')).mode & 0o777).toBe(0o600);
  await startAgent('h1');
  await fleet.waitForHost('h1', 'connected');
});

test('joined, and not set up yet: join says what is next, the service waits, status says what to do, and it begins by itself', async () => {
  const [host, config] = ['waits', join(directory, 'waits', 'agent.yaml')];
  const state = ['--state-dir', stateOf(host)];
  // Of a machine whose own file is there it is its name that would count.
  const done = await runProgram(
    [programs.agent, 'join', made.url, await newJoinToken(), '--fingerprint', made.fingerprint, '--host', host, ...state],
    {},
  );
  expect(done).toMatchObject({ code: 0, stderr: expect.stringMatching(/no configuration yet.*Next: relight-agent setup/) as string });
  const args = [programs.agent, 'run', '--config', config];
  const refused = await runProgram(args, {});
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('not set up yet: relight-agent setup') as string });

  const told = join(directory, 'told');
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'systemd-notify'), `#!/bin/sh\necho "$*" >> ${told}\n`, { mode: 0o755 });
  const env = { NOTIFY_SOCKET: '/run/notify', PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const service = new Service({
    name: 'a service that waits',
    args: [...args, '--wait-for-config'],
    env,
    logFile: join(directory, 'waits.log'),
  });
  services.push(service);
  await service.start();
  await logHas(service, /"level":"warn".*there is no configuration: .*waits\/agent\.yaml is waited for\. Make it: relight-agent setup/);
  // The file is there before its line is.
  await waitFor(() => existsSync(told) && readFileSync(told, 'utf8').endsWith('\n'), { what: 'systemd to be told' });
  expect(readFileSync(told, 'utf8')).toBe(
    `READY=1 STATUS=waits for its configuration: ${config} is not there. Make it: relight-agent setup\n`,
  );
  const status = await runProgram([programs.agent, 'status', ...state], { RELIGHT_CONFIG: config });
  expect(status).toMatchObject({ code: 3, stderr: expect.stringContaining('Make it: relight-agent setup') as string });
  hostFiles(host);
  await fleet.waitForHost(host, 'connected');
  await waitFor(() => /STATUS=supervising 0 workload/.test(readFileSync(told, 'utf8')), { what: 'systemd to be told' });
  // Once, however long it takes.
  expect(readFileSync(service.logFile, 'utf8').match(/there is no configuration/g)).toHaveLength(1);
});

test('a join token is good for one agent, and the second is told so', async () => {
  const token = made.join.split(' ')[3] ?? '';
  const again = await joinHost('h2', made.url, token, '--fingerprint', made.fingerprint);
  expect(again).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/the join token has been used up\nMake a new join token/) as string,
  });
  const entries = await audit();
  expect(entries).toContainEqual(
    expect.objectContaining({ outcome: 'refused', action: 'POST /agent/v1/join', name: 'init', address: '127.0.0.1' }),
  );
});

test('a join token for two brings two, and no third', async () => {
  const token = await newJoinToken('--uses', '2');
  const results = await Promise.all(['a1', 'a2', 'a3'].map((host) => joinHost(host, made.url, token, '--fingerprint', made.fingerprint)));
  expect(results.filter(({ code }) => code === 0)).toHaveLength(2);
  expect(results.filter(({ stderr }) => stderr.includes('has been used up'))).toHaveLength(1);
});

test('a collector with another certificate gets nothing from an agent', async () => {
  const wrong = made.fingerprint.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
  const token = await newJoinToken();
  const refused = await joinHost('h3', made.url, token, '--fingerprint', wrong);
  expect(refused).toMatchObject({
    code: 3,
    stderr: expect.stringContaining(
      `the collector's certificate has the fingerprint ${made.fingerprint}, not the pinned ${wrong}`,
    ) as string,
  });
  expect(await joinHost('h3', made.url, token)).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/self-signed certificate/) as string,
  });
  await logHas(collector, new RegExp(`127.0.0.1 ended its TLS connection.*fingerprint is ${made.fingerprint}`));
  // Nobody has seen the token: it is still good.
  expect(await joinHost('h3', made.url, token, '--fingerprint', made.fingerprint)).toMatchObject({ code: 0 });
});

test('a token of another machine is refused, with a reason on both sides', async () => {
  // A copy of the disk: the state directory of h1 on a machine that is not the same.
  const stolen = { ...joined('h1') };
  hostFiles('h1-thief');
  mkdirSync(stateOf('h1-thief'), { recursive: true });
  writeFileSync(join(stateOf('h1-thief'), 'collector.json'), JSON.stringify(stolen));
  const configFile = join(directory, 'h1-thief', 'agent.yaml');
  writeFileSync(configFile, readFileSync(configFile, 'utf8').replace('"name":"h1-thief"', '"name":"h1"'));
  const thief = await startAgent('h1-thief');
  await logHas(thief, /no connection to the collector: this token was given to another agent/);
  const event = await fleet.waitForEvent({ host: 'h1' }, ({ message }) => message.includes('used by another agent'), 'the notice');
  expect(event).toMatchObject({ severity: 'warning', data: { address: '127.0.0.1' } });
  expect((await fleet.host('h1'))?.state).toBe('connected');
  await thief.stop();
});

test('a revoked token ends what is connected with it, and opens nothing more', async () => {
  const agent = services.find(({ logFile }) => logFile.includes('/h1/'));
  if (agent === undefined) throw new Error('h1 does not run');
  const { tokenId = '' } = joined('h1');
  expect(await collectorCommand('token', 'revoke', tokenId)).toMatchObject({ code: 0 });
  const from = Date.now();
  await fleet.waitForHost('h1', 'disconnected');
  expect(Date.now() - from).toBeLessThan(30_000);
  await logHas(agent, /no connection to the collector: the token was revoked/);
  // What was open is closed with the reason; what dials again is refused with it.
  await agent.stop();
  await agent.start();
  await logHas(agent, /HTTP 401: the token was revoked at /);
  await logHas(collector, new RegExp(`refused: the token was revoked at .*agent token ${tokenId} of h1`));
  expect(await audit()).toContainEqual(expect.objectContaining({ action: 'token.revoke', actor: 'local', target: tokenId }));
});

test('a host that was forgotten is let in again by its token: forget names that, and what was said comes true once it is revoked', async () => {
  expect(await joinHost('h6', made.url, await newJoinToken(), '--fingerprint', made.fingerprint)).toMatchObject({ code: 0 });
  const agent = await startAgent('h6');
  await fleet.waitForHost('h6', 'connected');
  await agent.stop();
  await fleet.waitForHost('h6', 'stopped');
  const env = { RELIGHT_URL: made.url, RELIGHT_TOKEN: made.operatorToken, RELIGHT_FINGERPRINT: made.fingerprint };
  const forgotten = await runProgram([programs.relight, 'forget', 'h6'], env);
  const { tokenId = '' } = joined('h6');
  expect(forgotten).toMatchObject({ code: 0, stdout: 'h6: forgotten\n' });
  expect(forgotten.stderr).toContain('is let in again.');
  expect(forgotten.stderr).toContain(`\n  relight-collector token revoke ${tokenId}\n`);
  await agent.start();
  await fleet.waitForHost('h6', 'connected');
  await collectorCommand('token', 'revoke', tokenId);
  await logHas(agent, /no connection to the collector: the token was revoked/);
  await agent.stop();
  await runProgram([programs.relight, 'forget', 'h6'], env);
});

test('a token is renewed long before it ends, and the old one goes when the new one is used', async () => {
  const token = await newJoinToken('--agent-tokens', '60s');
  expect(await joinHost('h5', made.url, token, '--fingerprint', made.fingerprint)).toMatchObject({ code: 0 });
  const { tokenId: first = '' } = joined('h5');
  const agent = await startAgent('h5');
  await waitFor(() => joined('h5')['tokenId'] !== first, { timeoutMs: 120_000, what: 'another token' });
  const revoked = async (): Promise<boolean> =>
    (await fleet.api.list<ApiToken>('tokens')).items.some(({ id, revokedAt }) => id === first && revokedAt !== null);
  await waitFor(revoked, { timeoutMs: 30_000, what: 'the old token to be revoked' });
  await fleet.waitForHost('h5', 'connected');
  expect(await audit()).toContainEqual(expect.objectContaining({ action: 'agent.renew', target: 'h5', outcome: 'done' }));
  await agent.stop();
});

test('an expired certificate is refused, and a renewed one accepted by the same pin', async () => {
  expect(await joinHost('h4', made.url, await newJoinToken(), '--fingerprint', made.fingerprint)).toMatchObject({ code: 0 });
  await collector.stop();
  // Backdated by a day: one that was valid for a moment, a day ago.
  await collectorCommand('certificate', 'renew', '--valid-for', '1ms');
  await collector.start();
  const agent = await startAgent('h4');
  await logHas(agent, /no connection to the collector: the collector's certificate expired at /);
  await logHas(collector, /the certificate of this collector expired at/);
  await agent.stop();
  expect(await collectorCommand('certificate', 'renew')).toMatchObject({ code: 0 });
  await collector.stop();
  fleet = await reopened();
  await collector.start();
  await agent.start();
  await fleet.waitForHost('h4', 'connected');
});
