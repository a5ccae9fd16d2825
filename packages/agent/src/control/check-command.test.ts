import { mkdirSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { RelightError } from '@relight/shared/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ContainerFacts, Engine, EngineInfo } from '../engine/engine.ts';
import { checkCommand } from './check-command.ts';
import type { Finding } from './preflight/finding.ts';
import { recordedIo, temporaryDirectory, writeTo } from './recorded-io.ts';

let directory: string;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (name: string, content: unknown, mode?: number): string => writeTo(directory, name, content, mode);

const engineInfo: EngineInfo = {
  id: 'e',
  version: '28.2.2',
  apiVersion: '1.50',
  liveRestore: true,
  runtimes: ['runc'],
  cgroupVersion: '2',
  rootDirectory: '/var/lib/docker',
};
/** Only what these commands may call: anything else is a call that touches something. */
function fakeEngine(given: Partial<Engine> = {}): Engine {
  const engine: Partial<Engine> = {
    info: async () => engineInfo,
    hasImage: async () => true,
    inspect: async () => null,
    ...given,
  };
  return engine as Engine;
}
const held = (labels: Record<string, string>, status: ContainerFacts['status'] = 'running'): Partial<Engine> => ({
  inspect: async () => ({ image: 'other', status, labels }) as unknown as ContainerFacts,
});

describe('check', () => {
  const container = { image: 'busybox' };
  const config = (more: object = {}, workload: object = {}): string =>
    write('agent.yaml', {
      version: 1,
      state_dir: directory,
      ...more,
      workloads: [{ name: 'w', container, process: { run: 'serve' }, ...workload }],
    });

  async function check(
    file: string,
    engine: Engine = fakeEngine(),
    io = recordedIo(),
  ): Promise<{ code: number; findings: readonly Finding[] }> {
    const code = await checkCommand({ config: file, json: true }, io, () => engine);
    const { ok, findings } = JSON.parse(io.out.join('')) as { ok: boolean; findings: readonly Finding[] };
    expect(ok).toBe(code === 0);
    return { code, findings };
  }
  /** What is wrong, apart from the free space of the machine that runs this. */
  const wrong = (findings: readonly Finding[]): readonly string[] =>
    findings.filter(({ level, what }) => level !== 'ok' && !what.startsWith('state_dir')).map(({ level, what }) => `${level} ${what}`);

  it('finds nothing wrong where nothing is', async () => {
    const { code, findings } = await check(config());
    expect(wrong(findings)).toEqual([]);
    expect(code).toBe(0);
  });

  it('prints each finding with its fix, and a count', async () => {
    const io = recordedIo();
    const engine = fakeEngine({ hasImage: async () => false });
    expect(await checkCommand({ config: config({}, { container: { image: 'x', pull_policy: 'never' } }) }, io, () => engine)).toBe(1);
    expect(io.out.join('')).toContain(
      'error   w: the image x is not here, and pull_policy is never\n        → docker pull or docker load it, or set pull_policy: missing.\n',
    );
    expect(io.out.join('')).toMatch(/\n\n1 error, \d warnings?\n$/);
  });

  it('fails with config-invalid before it looks at anything', async () => {
    const engine = fakeEngine({ info: () => Promise.reject(new Error('touched')) });
    await expect(checkCommand({ config: config({ wrong: 1 }) }, recordedIo(), () => engine)).rejects.toMatchObject({
      code: 'config-invalid',
    });
  });

  it('goes on without an engine', async () => {
    const gone = new RelightError('engine-unreachable', 'no such socket');
    const { code, findings } = await check(config(), fakeEngine({ info: () => Promise.reject(gone) }));
    expect(wrong(findings)).toEqual(['error the engine at /var/run/docker.sock: no such socket']);
    expect(code).toBe(1);
  });

  it.each<[string, Partial<Engine>, object, string]>([
    [
      'an old engine',
      { info: async () => ({ ...engineInfo, version: '19.03', apiVersion: '1.40' }) },
      {},
      'error the engine 19.03 speaks API 1.40; at least 1.41 is needed',
    ],
    ['a missing runtime', {}, { container: { ...container, runtime: 'kata' } }, 'error w: the engine has no runtime kata; it has runc'],
    ['a foreign container of that name', held({}), {}, "error w: the name w is held by a container that is not Relight's (other, running)"],
    [
      'another workload’s container',
      held({ 'relight.agent': 'a', 'relight.workload': 'v' }),
      {},
      'error w: the name w is held by the workload v',
    ],
    [
      'a log that cannot be read',
      {},
      { container: { ...container, logging: { driver: 'syslog' } } },
      "warning w: the container's own output goes to the log driver syslog, where Relight does not read it",
    ],
    [
      'an unbounded log',
      {},
      { container: { ...container, logging: { driver: 'json-file' } } },
      "warning w: the container's log grows without limit",
    ],
    [
      'a missing device',
      {},
      { container: { ...container, devices: ['/dev/relight-none'] } },
      'error w: the device /dev/relight-none does not exist on this host',
    ],
    [
      'a missing bind source',
      {},
      { container: { ...container, volumes: ['/relight-none:/x'] } },
      'warning w: /relight-none does not exist; the engine will make an empty directory of it',
    ],
    [
      'a finite sleep',
      {},
      { container: { ...container, command: 'sleep 3600' } },
      'warning w: the container ends by itself after "sleep 3600"',
    ],
    ['| tee', {}, { process: { run: 'serve 2>&1 | tee log' } }, 'warning w: process.run ends in "| tee", which hides its exit code'],
    ['|| true', {}, { setup: [{ run: 'gcsfuse x /y || true' }] }, 'warning w: setup "step 1" has "|| true", so its failure is never seen'],
    ['-it', {}, { setup: [{ run: 'docker exec -it x sh' }] }, 'warning w: setup "step 1" asks for a terminal (-t), and there is none'],
    ['nothing to prove it useful', {}, { process: null }, 'warning w: nothing proves that it is useful'],
  ])('sees %s', async (_, engine, workload, expected) => {
    const { code, findings } = await check(config({}, workload), fakeEngine(engine));
    expect(wrong(findings)).toEqual([expected]);
    expect(code).toBe(expected.startsWith('error') ? 1 : 0);
  });

  it('sees another agent’s container by the identity in the state directory', async () => {
    write('identity.json', JSON.stringify({ agentId: 'me' }));
    const { findings } = await check(config(), fakeEngine(held({ 'relight.agent': 'other', 'relight.workload': 'w' })));
    expect(wrong(findings)).toEqual(['error w: the name w is held by another agent, other']);
  });

  it('wants what FUSE needs in a container without privileges', async () => {
    const mounts = [{ name: 'm', type: 'gcsfuse', bucket: 'b', target: '/m' }];
    const bare = wrong((await check(config({}, { mounts }))).findings);
    expect(bare).toContain('error w: mounts need /dev/fuse in the container');
    expect(bare).toContain('error w: mounts need the capability SYS_ADMIN');
    const rights = { ...container, devices: ['/dev/fuse'], cap_add: ['CAP_SYS_ADMIN'], security_opt: ['apparmor=unconfined'] };
    const allowed = wrong((await check(config({}, { mounts, container: rights }))).findings);
    expect(allowed.filter((line) => line.includes('in the container') || line.includes('capability') || line.includes('AppArmor'))).toEqual(
      [],
    );
  });

  it('reads secrets, and sees those that everybody can read', async () => {
    write('open.env', 'A=1', 0o644);
    write('bad.env', 'hf_secret');
    const { findings } = await check(config({}, { container: { ...container, env_file: ['open.env', 'bad.env', 'none.env'] } }));
    expect(wrong(findings)).toEqual([
      `warning env_file ${directory}/open.env is open to every user of this host`,
      `error env_file ${directory}/bad.env: ${directory}/bad.env:1: must be KEY=value; Relight takes nothing over from its own environment`,
      `error env_file ${directory}/none.env: there is no such file`,
    ]);
    expect(JSON.stringify(findings)).not.toContain('hf_secret');
  });

  it('looks for the programs of variables in PATH', async () => {
    mkdirSync(join(directory, 'bin'));
    write('bin/gcloud', '#!/bin/sh', 0o755);
    const vars = {
      A: { run: 'gcloud compute | head -1' },
      B: { run: ['nowhere', 'x'] },
      C: { run: 'if true; then echo 1; fi' },
      D: 'literal',
    };
    const io = recordedIo({ PATH: join(directory, 'bin') });
    const { findings } = await check(config({ vars }), fakeEngine(), io);
    expect(wrong(findings)).toEqual([`error vars.B: the program nowhere is not on this host (PATH ${directory}/bin)`]);
    expect(findings.map(({ what }) => what)).toContain(`vars.A: gcloud is ${directory}/bin/gcloud`);
  });

  describe('of the network', () => {
    const servers: (Server | HttpServer)[] = [];
    afterEach(async () => {
      for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    });
    async function listen(server: Server | HttpServer): Promise<number> {
      servers.push(server);
      await once(server.listen(0, '127.0.0.1'), 'listening');
      return (server.address() as AddressInfo).port;
    }

    it('names the holder of a taken port, unless it is the container itself', async () => {
      const port = await listen(createServer());
      const file = config({}, { container: { ...container, ports: [`127.0.0.1:${port}:80`] } });
      expect(wrong((await check(file)).findings)).toEqual([
        expect.stringMatching(new RegExp(`^error w: port ${port}/tcp is taken by .+ \\(pid ${process.pid}\\)$`)),
      ]);
      const own = fakeEngine(held({ 'relight.agent': 'a', 'relight.workload': 'w' }));
      expect(wrong((await check(file, own)).findings)).toEqual([]);
    });

    it('asks the collector whether it is one', async () => {
      let status = 200;
      const port = await listen(
        createHttpServer((request, response) => response.writeHead(request.url === '/base/healthz' ? status : 500).end()),
      );
      const file = config({ collector: { url: `ws://127.0.0.1:${port}/base` } });
      expect(wrong((await check(file)).findings)).toEqual([]);
      status = 404;
      expect(wrong((await check(file)).findings)).toEqual([`error the collector at ws://127.0.0.1:${port}/base answers /healthz with 404`]);
    });

    it('knocks at the door of agents: a token that opens nothing is found now', async () => {
      const server = createHttpServer((_request, response) => response.writeHead(200).end());
      const problem = JSON.stringify({
        status: 403,
        code: 'forbidden',
        detail: 'this is an operator token',
        advice: 'Give an agent token.',
      });
      let refuse = true;
      server.on('upgrade', (_request, socket) =>
        socket.end(refuse ? `HTTP/1.1 403 Forbidden\r\nContent-Length: ${problem.length}\r\n\r\n${problem}` : 'HTTP/1.1 503 Busy\r\n\r\n'),
      );
      const port = await listen(server);
      const file = config({ collector: { url: `ws://127.0.0.1:${port}` } });
      const url = `ws://127.0.0.1:${port}`;
      const { findings } = await check(file);
      expect(wrong(findings)).toEqual([`error the collector at ${url} refuses this agent: HTTP 403: this is an operator token`]);
      expect(findings.find(({ level }) => level === 'error')?.fix).toBe('Give an agent token.');
      refuse = false;
      expect(wrong((await check(file)).findings)).toEqual([]);
    });
  });
});
