/** A collector whose certificate an authority of its own has signed: agents that know that authority come in, others leave before they say anything. */
import { authority, type Authority } from '@relight/collector/access/authority.test-data';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { FleetClient } from '../support/fleet-client.ts';
import { programs, runProgram } from '../support/lab.ts';
import { freePort } from '../support/ports.ts';
import { Service } from '../support/service.ts';
import { waitFor } from '../support/wait.ts';

let directory: string;
let url: string;
let ours: Authority;
let ourCa: string;
let otherCa: string;
let collector: Service;
let operator: string;
const services: Service[] = [];

const inDirectory = (name: string, text: string): string => {
  const file = join(directory, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
};
const newToken = async (...words: readonly string[]): Promise<string> => {
  const made = await runProgram([programs.collector, 'token', 'create', ...words, '--data-dir', join(directory, 'data')], {});
  if (made.code !== 0) throw new Error(made.stderr);
  return made.stdout.trim();
};
/** As an operator who pins: only what agents make of the certificate is looked at here. */
async function fleet(): Promise<FleetClient> {
  const { stdout } = await runProgram([programs.collector, 'certificate', 'show', '--json', '--config', join(directory, 'c.yaml')], {});
  return new FleetClient(url, operator, (JSON.parse(stdout) as { fingerprint: string }).fingerprint);
}

function hostFiles(host: string, more: object = {}): string {
  mkdirSync(join(directory, host), { recursive: true });
  const state = join(directory, host, 'state');
  const document = {
    version: 1,
    host: { name: host },
    state_dir: state,
    engine: { socket: inject('engineSocket') },
    workloads: [],
    ...more,
  };
  return inDirectory(`${host}/agent.yaml`, JSON.stringify(document));
}
async function startAgent(host: string): Promise<Service> {
  const args = [programs.agent, 'run', '--config', join(directory, host, 'agent.yaml')];
  const service = new Service({ name: `agent of ${host}`, args, logFile: join(directory, host, 'agent.log') });
  services.push(service);
  await service.start();
  return service;
}
const logHas = (service: Service, text: RegExp): Promise<unknown> =>
  waitFor(() => text.test(readFileSync(service.logFile, 'utf8')), { timeoutMs: 60_000, what: `${text} in ${service.logFile}` });

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'relight-own-certificate-'));
  const other = await authority('another authority');
  ours = await authority('our authority');
  ourCa = inDirectory('ca.pem', ours.caPem);
  otherCa = inDirectory('other-ca.pem', other.caPem);
  const port = await freePort();
  url = `https://127.0.0.1:${port}`;
  const tls = { cert_file: inDirectory('cert.pem', ours.certPem), key_file: inDirectory('key.pem', ours.keyPem) };
  const config = inDirectory('c.yaml', JSON.stringify({ version: 1, listen: `127.0.0.1:${port}`, data_dir: join(directory, 'data'), tls }));
  collector = new Service({
    name: 'collector',
    args: [programs.collector, 'serve', '--config', config],
    logFile: join(directory, 'collector.log'),
    isUp: async () => readFileSync(join(directory, 'collector.log'), 'utf8').includes('listening on https:'),
  });
  services.push(collector);
  await collector.start();
  operator = await newToken('--kind', 'operator');
});
afterAll(async () => {
  for (const service of services.toReversed()) await service.kill();
  rmSync(directory, { recursive: true, force: true });
});

test('an agent that is given the authority joins and connects, without any fingerprint', async () => {
  const token = await newToken('--kind', 'join');
  const done = await runProgram([programs.agent, 'join', url, token, '--ca-file', ourCa, '--config', hostFiles('h1')], {});
  expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining(`h1 has joined ${url}`) as string });
  await startAgent('h1');
  await (await fleet()).waitForHost('h1', 'connected');
});

test('with another authority, or none, join says why and gives nothing away; the collector says who left', async () => {
  const token = await newToken('--kind', 'join');
  for (const trust of [['--ca-file', otherCa], []]) {
    const refused = await runProgram([programs.agent, 'join', url, token, ...trust, '--config', hostFiles('h2')], {});
    expect(refused).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(
        /cannot be reached: unable to (?:verify|get)[\s\S]*Name the collector's certificate authority \(--ca-file, ca_file\), or its fingerprint/,
      ) as string,
    });
  }
  await logHas(collector, /127\.0\.0\.1 ended its TLS connection before it asked anything: it may not trust this certificate/);
  // Nobody has seen the token: it is still good.
  const done = await runProgram([programs.agent, 'join', url, token, '--ca-file', ourCa, '--config', hostFiles('h2')], {});
  expect(done).toMatchObject({ code: 0 });
});

test('an agent whose ca_file is the wrong one says so, and connects once it is mended, without a restart', async () => {
  const caFile = inDirectory('h3-ca.pem', readFileSync(otherCa, 'utf8'));
  const tokenFile = inDirectory('h3.token', await newToken('--kind', 'agent', '--host', 'h3'));
  hostFiles('h3', { collector: { url, token_file: tokenFile, ca_file: caFile } });
  const agent = await startAgent('h3');
  await logHas(agent, /no connection to the collector: unable to (?:verify|get)/);
  const operators = await fleet();
  expect(await operators.host('h3')).toBeUndefined();
  inDirectory('h3-ca.pem', ours.caPem);
  await operators.waitForHost('h3', 'connected', 120_000);
});
