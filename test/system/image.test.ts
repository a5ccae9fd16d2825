/**
 * The collector's image: its Dockerfile built by an engine without BuildKit, on a Debian under the name that FROM has, and run as the
 * Compose file says. Nothing is pulled.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { DockerEngine } from '@relight/agent/engine/docker-engine';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { dockerApi, type DockerApi } from '../support/docker-api.ts';
import { FleetClient } from '../support/fleet-client.ts';
import { ownedDirectory } from '../support/owned-directory.ts';
import { waitFor } from '../support/wait.ts';

const sources = join(import.meta.dirname, '../../packages/collector/docker');
const image = 'relight-collector';
const name = `collector-image-${process.pid}`;
const volume = `${name}-data`;
const port = 7460;

interface ComposeService {
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly tmpfs: readonly string[];
  readonly volumes: readonly string[];
  readonly ulimits: { readonly nofile: number };
  readonly stop_grace_period: string;
}

let directory: string;
let docker: DockerApi;
let engine: DockerEngine;
let service: ComposeService;

beforeAll(async () => {
  directory = ownedDirectory('relight-packages-');
  docker = dockerApi(inject('engineSocket'));
  // A command there starts Node and makes a key, on a busy machine.
  engine = new DockerEngine({ socketPath: inject('engineSocket'), callTimeoutMs: 120_000 });
  const compose = parse(await readFile(join(sources, 'compose.yaml'), 'utf8')) as { services: { collector: ComposeService } };
  service = compose.services.collector;
});
afterAll(async () => {
  await docker.remove(name).catch(() => {});
  await rm(directory, { recursive: true, force: true });
});

/** `docker build` of a directory: what the builder says; fails with it. */
async function build(context: string, tag: string, more = ''): Promise<string> {
  const tar = spawn('tar', ['-C', context, '-cf', '-', '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const headers = { 'content-type': 'application/x-tar' };
  const path = `/build?t=${tag}${more}`;
  const sent = request({ socketPath: inject('engineSocket'), method: 'POST', path, agent: false, headers });
  tar.stdout.pipe(sent);
  const [response] = (await once(sent, 'response')) as [Readable & { statusCode: number }];
  const said = await text(response);
  if (response.statusCode !== 200 || said.includes('"errorDetail"')) throw new Error(`docker build: ${response.statusCode} ${said}`);
  return said;
}

/** What FROM names: the Debian of the machines, with the PATH that Debian's own images have. */
async function makeBase(tag: string): Promise<void> {
  const context = join(directory, 'base');
  await mkdir(context);
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  await writeFile(join(context, 'Dockerfile'), `FROM ${inject('machineImage')}\nENV PATH=${path}\n`);
  await build(context, tag);
}

/** As `docker compose up` would have it; only the port is the container's own. */
function up(): Promise<string> {
  // The tests themselves may have fewer, and no right to more.
  const files = Math.min(service.ulimits.nofile, ownFilesMax());
  return docker.run(name, image, [], {
    HostConfig: {
      Init: false,
      ReadonlyRootfs: service.read_only,
      CapDrop: service.cap_drop,
      SecurityOpt: service.security_opt,
      Tmpfs: Object.fromEntries(service.tmpfs.map((path) => [path, ''])),
      Binds: service.volumes.map((each) => each.replace(/^data:/, `${volume}:`)),
      Ulimits: [{ Name: 'nofile', Soft: files, Hard: files }],
    },
  });
}

const ownFilesMax = (): number => Number(/^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);

interface Inspected {
  readonly State: { readonly ExitCode: number; readonly Health?: { readonly Status: string; readonly Log: readonly unknown[] } };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { readonly IPAddress: string }>> };
}
const inspect = async (): Promise<Inspected> => (await docker.inspect(name)) as unknown as Inspected;
const address = async (): Promise<string> => Object.values((await inspect()).NetworkSettings.Networks)[0]?.IPAddress ?? '';

/** By its own HEALTHCHECK. */
async function healthy(): Promise<void> {
  let last: string | undefined;
  const is = async (): Promise<boolean> => {
    const { Health: health } = (await inspect()).State;
    last = JSON.stringify(health);
    return health?.Status === 'healthy';
  };
  await waitFor(is, {
    what: 'the container to be healthy',
    timeoutMs: 90_000,
    everyMs: 200,
  }).catch(async (error: unknown) => {
    throw new Error(`${last}\n${await docker.logs(name, 20)}`, { cause: error });
  });
}

test('the Dockerfile builds', async () => {
  const base = /^ARG BASE=(\S+)$/m.exec(await readFile(join(sources, 'Dockerfile'), 'utf8'))?.[1] ?? '';
  await makeBase(base);
  const context = join(directory, 'context');
  await mkdir(context);
  await copyFile(join(sources, 'Dockerfile'), join(context, 'Dockerfile'));
  const deb = (await readdir(inject('packages'))).find((file) => /^relight-collector_.*\.deb$/.test(file)) ?? '';
  await copyFile(join(inject('packages'), deb), join(context, deb));
  const argument = encodeURIComponent(JSON.stringify({ TARGETARCH: process.arch === 'arm64' ? 'arm64' : 'amd64' }));
  expect(await build(context, image, `&buildargs=${argument}`)).toContain(`Successfully tagged ${image}:latest`);
});

test('it runs without any right, with nothing to write to but its volume, and answers', async () => {
  await up();
  await healthy();
  expect(await (await fetch(`http://${await address()}:${port}/healthz`)).json()).toEqual({ status: 'ok' });
  const { stdout } = await engine.exec(name, { argv: ['sh', '-c', 'id -un; grep CapEff /proc/1/status; touch /relight 2>&1'] });
  expect(stdout).toMatch(/^relight-collector\nCapEff:\t0{16}\n.*Read-only file system/);
});

test('set up in it, stopped and made anew, it is the same collector, with TLS', async () => {
  const said = await engine.exec(name, { argv: ['relight-collector', 'init', '--json', '--url', `https://collector.example:${port}`] });
  expect(said).toMatchObject({ exitCode: 0, stderr: '' });
  const { operatorToken, fingerprint } = JSON.parse(said.stdout) as { operatorToken: string; fingerprint: string };
  await docker.stop(name, Number.parseInt(service.stop_grace_period, 10));
  // In order, and not killed at the end of its time.
  expect((await inspect()).State.ExitCode).toBe(0);
  await docker.remove(name).catch(() => {});
  await up();
  await healthy();
  const fleet = new FleetClient(`https://${await address()}:${port}`, operatorToken, fingerprint);
  expect(await fleet.hosts()).toEqual([]);
});
