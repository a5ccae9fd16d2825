/** The collector that is tried: the built one as a process of its own, with a token of every kind. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programs, runProgram } from '../lab.ts';
import { freePort } from '../ports.ts';
import { Service } from '../service.ts';
import { askHttp, HttpLine } from './http-line.ts';
import { heldBy, probeArguments, probeEnvironment, type Held } from './memory-probe.ts';

export interface Endpoint {
  readonly port: number;
  readonly secure: boolean;
}

interface Tokens {
  readonly admin: string;
  readonly operate: string;
  readonly view: string;
  readonly revoked: string;
  readonly join: string;
  /** Of an agent of any host. */
  readonly agent: string;
  /** Of the agent of one host. */
  readonly hosts: Readonly<Record<string, string>>;
}

export interface CollectorTarget extends AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly service: Service;
  readonly tokens: Tokens;
  readonly dataDir: string;
  held(): Promise<Held>;
  /** Open descriptors. */
  descriptors(): number;
  log(): string;
  /** What the command `relight-collector verify` says. */
  verify(): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>;
}

export async function startCollectorTarget(directory: string, secure: boolean, hosts: readonly string[]): Promise<CollectorTarget> {
  mkdirSync(directory, { recursive: true });
  const dataDir = join(directory, 'data');
  const port = await freePort();
  const command = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runProgram([programs.collector, ...args, '--data-dir', dataDir], {});
    if (code !== 0) throw new Error(`relight-collector ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout.trim();
  };
  if (secure) await command('init', '--json', '--url', `https://127.0.0.1:${port}`);
  const token = (...args: readonly string[]): Promise<string> => command('token', 'create', ...args);
  const revoked = await token('--kind', 'operator');
  const [shown] =
    (JSON.parse(await command('token', 'list', '--json')) as { items?: { id: string; name: string | null }[] }).items?.slice(-1) ?? [];
  if (shown !== undefined) await command('token', 'revoke', shown.id);
  const tokens: Tokens = {
    admin: await token('--kind', 'operator', '--role', 'admin'),
    operate: await token('--kind', 'operator', '--role', 'operate'),
    view: await token('--kind', 'operator', '--role', 'view'),
    revoked,
    join: await token('--kind', 'join', '--uses', '1000000'),
    agent: await token('--kind', 'agent'),
    hosts: Object.fromEntries(
      await Promise.all(hosts.map(async (host) => [host, await token('--kind', 'agent', '--host', host)] as const)),
    ),
  };
  // Who is refused comes from anywhere: the limit of failures of one address would hide all but the first of them.
  const config = { version: 1, listen: `127.0.0.1:${port}`, data_dir: dataDir, trusted_proxies: ['127.0.0.1'] };
  writeFileSync(join(directory, 'collector.yaml'), JSON.stringify(config));
  const memoryFile = join(directory, 'memory.json');
  const endpoint = { port, secure };
  const line = new HttpLine(endpoint, 1);
  const service = new Service({
    name: 'collector',
    args: [...probeArguments, programs.collector, 'serve', '--config', join(directory, 'collector.yaml')],
    env: probeEnvironment(memoryFile),
    logFile: join(directory, 'collector.log'),
    isUp: async () => (await askHttp(line, 'GET', '/healthz', {}).catch(() => null))?.status === 200,
  });
  await service.start();
  return {
    endpoint,
    service,
    tokens,
    dataDir,
    held: () => heldBy(service.pid, memoryFile),
    descriptors: () => readdirSync(`/proc/${service.pid}/fd`).length,
    log: () => readFileSync(service.logFile, 'utf8'),
    verify: () => runProgram([programs.collector, 'verify', '--data-dir', dataDir], {}),
    [Symbol.asyncDispose]: async () => {
      line.close();
      await service.kill();
    },
  };
}
