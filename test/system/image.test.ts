/**
 * The collector's image and its Compose file, by a real compose: built without BuildKit, on a Debian under the name that FROM has, and
 * run, set up, upgraded and taken away as docs/install.md says. Nothing is pulled.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { version as ownVersion } from '@relight/shared/version';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { dockerApi, type DockerApi } from '../support/docker-api.ts';
import { FleetClient } from '../support/fleet-client.ts';
import { programs, runProgram } from '../support/lab.ts';
import { ownedDirectory } from '../support/owned-directory.ts';
import { freePort } from '../support/ports.ts';
import { Service } from '../support/service.ts';
import { Compose } from '../support/system/compose.ts';
import { laterVersion } from '../support/system/later-version.ts';
import { eventually, waitFor } from '../support/wait.ts';

const host = 'gpu-2';
let directory: string;
let docker: DockerApi;
let compose: Compose;
let url: string;
let agent: Service | undefined;

interface Made {
  readonly operatorToken: string;
  readonly fingerprint: string;
  readonly join: string;
}
let made: Made;

beforeAll(async () => {
  directory = ownedDirectory('relight-packages-');
  docker = dockerApi(inject('engineSocket'));
  const port = await freePort('0.0.0.0');
  url = `https://127.0.0.1:${port}`;
  compose = await Compose.prepare({ engineSocket: inject('engineSocket'), directory, port });
});
afterAll(async () => {
  await agent?.kill();
  await compose?.do('down', '-v');
  await rm(directory, { recursive: true, force: true });
});

/** What FROM names: the Debian of the machines, with the PATH that Debian's own images have. */
async function makeBase(): Promise<void> {
  const tag = /^ARG BASE=(\S+)$/m.exec(await readFile(join(directory, 'packages/collector/docker/Dockerfile'), 'utf8'))?.[1] ?? '';
  const context = join(directory, 'base');
  await mkdir(context);
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  await writeFile(join(context, 'Dockerfile'), `FROM ${inject('machineImage')}\nENV PATH=${path}\n`);
  const tar = spawn('tar', ['-C', context, '-cf', '-', '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const headers = { 'content-type': 'application/x-tar' };
  const sent = request({ socketPath: inject('engineSocket'), method: 'POST', path: `/build?t=${tag}`, agent: false, headers });
  tar.stdout.pipe(sent);
  const [response] = (await once(sent, 'response')) as [Readable & { statusCode: number }];
  const said = await text(response);
  if (response.statusCode !== 200 || said.includes('"errorDetail"')) throw new Error(`docker build: ${response.statusCode} ${said}`);
}

/** As `npm run package` leaves it there. */
async function addPackage(from: string): Promise<void> {
  const deb = (await readdir(from)).find((file) => /^relight-collector_.*\.deb$/.test(file)) ?? '';
  await copyFile(join(from, deb), join(compose.dist, deb));
}

interface Inspected {
  readonly Id: string;
  readonly Config: { readonly Labels: Readonly<Record<string, string>> };
  readonly State: { readonly ExitCode: number; readonly Health?: { readonly Status: string; readonly Log: readonly unknown[] } };
}
const inspect = async (): Promise<Inspected> => (await docker.inspect(await compose.container())) as unknown as Inspected;

/** By its own HEALTHCHECK. */
async function healthy(): Promise<void> {
  let last: string | undefined;
  const id = await compose.container();
  const is = async (): Promise<boolean> => {
    const { Health: health } = ((await docker.inspect(id)) as unknown as Inspected).State;
    last = JSON.stringify(health);
    return health?.Status === 'healthy';
  };
  await waitFor(is, { what: 'the container to be healthy', timeoutMs: 90_000, everyMs: 200 }).catch(async (error: unknown) => {
    throw new Error(`${last}\n${await docker.logs(id, 20)}`, { cause: error });
  });
}

/** The collector that was set up: it knows its operator by the same token, under the same certificate, and its host is there. */
async function sameCollector(): Promise<void> {
  const fleet = new FleetClient(url, made.operatorToken, made.fingerprint);
  await eventually(async () => expect((await fleet.host(host))?.state).toBe('connected'), {
    what: `${host} to be connected`,
    timeoutMs: 90_000,
  });
}

test('compose takes the file and builds the Dockerfile', async () => {
  await makeBase();
  await addPackage(inject('packages'));
  expect(await compose.do('config', '--services')).toBe('collector\n');
  await compose.do('build');
});

test('it runs without any right, with nothing to write to but its volume, and answers on the published port', async () => {
  await compose.do('up', '-d');
  await healthy();
  expect((await inspect()).Config.Labels['com.docker.compose.project']).toBe('relight');
  expect(await (await fetch(`${url.replace('https', 'http')}/healthz`)).json()).toEqual({ status: 'ok' });
  const said = await compose.exec('sh', '-c', 'id -un; grep CapEff /proc/1/status; touch /relight 2>&1 || true; touch /tmp/file');
  expect(said).toMatch(/^relight-collector\nCapEff:\t0{16}\n.*Read-only file system/);
});

test('set up in it and restarted it has TLS, and a host joins by the line that it has printed', async () => {
  made = JSON.parse(await compose.exec('relight-collector', 'init', '--json', '--url', url)) as Made;
  await compose.do('restart');
  await healthy();
  const [program, ...words] = made.join.split(' ');
  expect(program).toBe('relight-agent');
  const configFile = join(directory, 'agent.yaml');
  const stateDir = join(directory, 'state');
  mkdirSync(stateDir);
  const document = { version: 1, host: { name: host }, state_dir: stateDir, engine: { socket: inject('engineSocket') }, workloads: [] };
  writeFileSync(configFile, JSON.stringify(document));
  expect(await runProgram([programs.agent, ...words, '--config', configFile], {})).toMatchObject({ code: 0 });
  const args = [programs.agent, 'run', '--config', configFile];
  agent = new Service({ name: `agent of ${host}`, args, logFile: join(directory, 'agent.log') });
  await agent.start();
  await sameCollector();
});

test('stopped in order, in its time; taken down and up again it is the same collector', async () => {
  await compose.do('stop');
  expect((await inspect()).State.ExitCode).toBe(0);
  const { Id: before } = await inspect();
  await compose.do('down');
  expect(await compose.container()).toBe('');
  await compose.do('up', '-d');
  expect((await inspect()).Id).not.toBe(before);
  await sameCollector();
});

test('a later package beside the older one: build and up make it the new one, with all that was stored', async () => {
  const versions = async (): Promise<string> => compose.exec('relight-collector', '--version');
  expect(await versions()).toContain(ownVersion);
  await addPackage(join(inject('packages'), 'later'));
  await compose.do('up', '-d', '--build');
  expect(await versions()).toContain(laterVersion);
  await sameCollector();
});

test('what it writes is in the logs; down -v takes everything away', async () => {
  expect(await compose.do('logs', '--no-color', 'collector')).toContain('listening');
  await compose.do('down', '-v');
  await compose.do('up', '-d');
  await healthy();
  // Another one: without a certificate, and without anybody's token.
  expect((await fetch(`${url.replace('https', 'http')}/healthz`)).status).toBe(200);
});
