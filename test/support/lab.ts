/**
 * All of Relight as real processes: the built collector and agents, tokens from the real command, a webhook for alerts, on a
 * free port, with everything they write in one directory. For the demo and for end-to-end tests.
 *
 *   await using lab = await startLab({ engineSocket });
 *   const agent = await lab.addAgent({ host: 'tpu-0', workloads: [{ name: 'w', container: { image } }] });
 *   await lab.fleet.waitForPhase('tpu-0', 'w', 'ready');
 *   await agent.service.kill();
 */
import { DockerEngine } from '@relight/agent/engine/docker-engine';
import { RelightError } from '@relight/shared/errors';
import { fingerprintOf } from '@relight/shared/certificate';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FleetClient } from './fleet-client.ts';
import { unmountBelow } from './mounts.ts';
import { own, removeAbandonedDirectories } from './owned-directory.ts';
import { freePort } from './ports.ts';
import { cleanEnvironment, Service, type ServiceOptions } from './service.ts';
import { startWebhook, type Webhook } from './webhook.ts';

const packages = join(import.meta.dirname, '../../packages');
const directoryPrefix = 'relight-lab-';

/** What `npm run build` makes. */
export const programs = {
  agent: join(packages, 'agent/dist/relight-agent.mjs'),
  collector: join(packages, 'collector/dist/relight-collector.mjs'),
  relight: join(packages, 'collector/dist/relight.mjs'),
} as const;

export interface LabOptions {
  /** Path of the unix socket. */
  readonly engineSocket: string;
  /** Default: a new one under the temporary directory. */
  readonly directory?: string;
  /** Sections of the collector's configuration, as in its YAML: liveness, alerts, retention. The webhook is added to the sinks. */
  readonly collector?: { readonly alerts?: Readonly<Record<string, unknown>> } & Readonly<Record<string, unknown>>;
  /** With the certificate that `relight-collector init` makes. Default false: plain HTTP. */
  readonly tls?: boolean;
  /** What executes the collector's process. */
  readonly collectorThrough?: readonly string[];
}

export interface AgentOptions {
  readonly host: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** As in the agent's YAML. */
  readonly workloads: readonly Readonly<Record<string, unknown>>[];
  /** Further fields of the section `host`: gate, setup … */
  readonly hostFields?: Readonly<Record<string, unknown>>;
  /** Further top-level fields of the agent's YAML: vars, engine … */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Of the agent's process, and what executes it: for a host that looks different. */
  readonly service?: Pick<ServiceOptions, 'env' | 'through'>;
  /** Default true. */
  readonly start?: boolean;
}

export interface LabAgent {
  readonly host: string;
  readonly service: Service;
  readonly configFile: string;
  readonly stateDir: string;
  /** Writes the configuration anew, with other workloads; an agent that runs takes it up by itself, as one that is started does. */
  configure(workloads: AgentOptions['workloads']): void;
}

export interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Lab extends AsyncDisposable {
  readonly directory: string;
  readonly url: string;
  readonly operatorTokenFile: string;
  /** The collector's certificate, which vouches for itself; null without TLS. */
  readonly certificateFile: string | null;
  readonly collector: Service;
  readonly fleet: FleetClient;
  readonly engine: DockerEngine;
  readonly webhook: Webhook;
  readonly agents: readonly LabAgent[];
  addAgent(options: AgentOptions): Promise<LabAgent>;
  /** Environment of an operator's shell. */
  readonly operatorEnvironment: Readonly<Record<string, string>>;
  /** The operator's `relight`, to its end. */
  relight(...args: readonly string[]): Promise<ProgramResult>;
  /** The agent's commands on its host, to their end; `--state-dir` is added. */
  agentCommand(agent: LabAgent, ...args: readonly string[]): Promise<ProgramResult>;
  /** Stops everything, removes the containers of its agents and the directory. May be called more than once. */
  dispose(): Promise<void>;
}

export async function startLab(options: LabOptions): Promise<Lab> {
  const missing = Object.values(programs).find((file) => !existsSync(file));
  if (missing !== undefined) throw new Error(`${missing} is not built: npm run build`);
  removeAbandonedLabs();
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), directoryPrefix));
  mkdirSync(directory, { recursive: true });
  own(directory);
  const webhook = await startWebhook();
  // A collector must keep its port over its restarts, so it cannot choose one by itself.
  const lab = new ProcessLab(options, directory, await freePort(), webhook);
  try {
    await lab.startCollector(options.collector ?? {});
    return lab;
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

/** Directories of labs whose process was killed. Its services ended with it. */
export const removeAbandonedLabs = (): void => removeAbandonedDirectories(directoryPrefix);

class ProcessLab implements Lab {
  readonly directory: string;
  readonly url: string;
  readonly operatorTokenFile: string;
  readonly certificateFile: string | null;
  readonly engine: DockerEngine;
  readonly webhook: Webhook;
  readonly agents: LabAgent[] = [];
  readonly collector: Service;
  readonly #engineSocket: string;
  readonly #dataDir: string;
  #fleet: FleetClient | undefined;
  #disposed = false;

  constructor({ collectorThrough = [], engineSocket, tls = false }: LabOptions, directory: string, port: number, webhook: Webhook) {
    this.#engineSocket = engineSocket;
    this.directory = directory;
    this.webhook = webhook;
    this.url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
    this.operatorTokenFile = join(directory, 'operator.token');
    // For what a person does there, which may be a long script, on a busy machine.
    this.engine = new DockerEngine({ socketPath: engineSocket, callTimeoutMs: 60_000 });
    this.#dataDir = join(directory, 'collector');
    this.certificateFile = tls ? join(this.#dataDir, 'tls/cert.pem') : null;
    this.collector = new Service({
      name: 'collector',
      args: [programs.collector, 'serve', '--config', join(directory, 'collector.yaml')],
      through: collectorThrough,
      logFile: join(directory, 'collector.log'),
      isUp: () => isHealthy(this.url),
    });
  }

  get fleet(): FleetClient {
    const fingerprint = this.certificateFile === null ? null : fingerprintOf(new X509Certificate(readFileSync(this.certificateFile)));
    this.#fleet ??= new FleetClient(this.url, readFileSync(this.operatorTokenFile, 'utf8').trim(), fingerprint);
    return this.#fleet;
  }

  get operatorEnvironment(): Readonly<Record<string, string>> {
    const trust = this.certificateFile === null ? {} : { RELIGHT_CA_FILE: this.certificateFile };
    return { RELIGHT_URL: this.url, RELIGHT_TOKEN_FILE: this.operatorTokenFile, ...trust };
  }

  async startCollector({ alerts, ...sections }: NonNullable<LabOptions['collector']>): Promise<void> {
    const config = {
      version: 1,
      listen: this.url.replace(/^https?:\/\//, ''),
      data_dir: this.#dataDir,
      ...sections,
      alerts: { sinks: [{ type: 'webhook', url: this.webhook.url }], ...alerts },
    };
    writeFileSync(join(this.directory, 'collector.yaml'), JSON.stringify(config, null, 2));
    if (this.certificateFile !== null) await this.#collectorCommand('init', '--url', this.url, '--data-dir', this.#dataDir);
    await this.#createToken('operator', this.operatorTokenFile);
    await this.collector.start();
  }

  async addAgent({
    host,
    labels = {},
    workloads,
    hostFields = {},
    config = {},
    service: process = {},
    start = true,
  }: AgentOptions): Promise<LabAgent> {
    const home = join(this.directory, 'hosts', host);
    const stateDir = join(home, 'state');
    const configFile = join(home, 'agent.yaml');
    const tokenFile = join(home, 'agent.token');
    mkdirSync(home, { recursive: true });
    await this.#createToken('agent', tokenFile, host);
    const configure = (wanted: AgentOptions['workloads']): void => {
      const document = {
        version: 1,
        // Whoever installs a package beside the tests, on a machine that has just booted, must not hold them up.
        host: { name: host, labels, gate: { quiet_for: '0s', package_manager_idle: false, pending_reboot: 'report' }, ...hostFields },
        collector: { url: this.url, token_file: tokenFile, ...(this.certificateFile === null ? {} : { ca_file: this.certificateFile }) },
        state_dir: stateDir,
        engine: { socket: this.#engineSocket },
        ...config,
        workloads: wanted,
      };
      writeFileSync(configFile, JSON.stringify(document, null, 2));
    };
    configure(workloads);
    const service = new Service({
      name: `agent of ${host}`,
      args: [programs.agent, 'run', '--config', configFile],
      logFile: join(home, 'agent.log'),
      ...process,
      // As the unit has it.
      env: { MALLOC_ARENA_MAX: '1', ...process.env },
    });
    const agent = { host, service, configFile, stateDir, configure };
    if (this.#disposed) throw new Error('the lab is gone');
    this.agents.push(agent);
    if (start) await service.start();
    return agent;
  }

  relight(...args: readonly string[]): Promise<ProgramResult> {
    return runProgram([programs.relight, ...args], this.operatorEnvironment);
  }

  agentCommand(agent: LabAgent, ...args: readonly string[]): Promise<ProgramResult> {
    return runProgram([programs.agent, ...args, '--state-dir', agent.stateDir], {});
  }

  /** All of it is tried, whatever fails: what is left running would disturb the tests behind. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    const ended = await Promise.allSettled([...this.agents.map(({ service }) => service.kill()), this.collector.kill()]);
    const closed = await Promise.allSettled([
      this.webhook[Symbol.asyncDispose](),
      ...this.agents.map((agent) => this.#removeContainers(agent)),
    ]);
    unmountBelow(this.directory);
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
    const failed = [...ended, ...closed].find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #createToken(kind: 'agent' | 'operator', file: string, host?: string): Promise<void> {
    const args = ['token', 'create', '--kind', kind, '--data-dir', this.#dataDir, ...(host === undefined ? [] : ['--host', host])];
    writeFileSync(file, await this.#collectorCommand(...args), { mode: 0o600 });
  }

  async #collectorCommand(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runProgram([programs.collector, ...args], {});
    if (code !== 0) throw new Error(`relight-collector ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  }

  /** The engine may be gone already, and its containers with it. */
  async #removeContainers({ stateDir }: LabAgent): Promise<void> {
    const agentId = agentIdIn(stateDir);
    if (agentId === undefined || !existsSync(this.#engineSocket)) return;
    const patient = { timeoutMs: 60_000 };
    try {
      const ids = await this.engine.list({ labels: { 'relight.agent': agentId } }, patient);
      await Promise.all(ids.map((id) => this.engine.remove(id, patient)));
    } catch (error) {
      if (!(error instanceof RelightError) || error.code !== 'engine-unreachable') throw error;
    }
  }
}

/** Whether somebody serves there, whatever certificate it has: who uses the lab verifies that. */
function isHealthy(url: string): Promise<boolean> {
  const { get } = url.startsWith('https:') ? https : http;
  return new Promise((resolve) => {
    const request = get(`${url}/healthz`, { rejectUnauthorized: false, timeout: 5_000, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(false));
  });
}

/** Undefined: the agent never came so far, or a fault of a test has torn the file. */
function agentIdIn(stateDir: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(stateDir, 'identity.json'), 'utf8')) as { agentId: string }).agentId;
  } catch {
    return undefined;
  }
}

export function runProgram(args: readonly string[], env: Readonly<Record<string, string>>): Promise<ProgramResult> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env: { ...cleanEnvironment(), ...env }, maxBuffer: 256 << 20 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, stdout, stderr });
    });
  });
}
