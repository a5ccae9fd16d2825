/**
 * A private Docker Engine of the tests' own: own data, sockets, pid file, containerd, bridge and address range. Several run
 * beside each other and beside the machine's engine. Needs root.
 *
 * What an earlier run left behind (it was killed) is removed when the next one starts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { errorMessage } from '@relight/shared/errors';
import { enginePrograms, ensurePrograms, findProgram, ownEngine } from './engine-install.ts';
import { cleanDirectory } from './engine-cleanup.ts';
import { createEngineNetwork, deleteAbandonedBridges } from './engine-network.ts';
import { abandonedDirectories, own } from './owned-directory.ts';
import { signalProcess, startTicks, waitUntilStopped } from './processes.ts';
import { waitFor } from './wait.ts';

export interface PrivateEngineOptions {
  /** Containers go on while dockerd is away. Default false: stopping dockerd stops them. */
  readonly liveRestore?: boolean;
  /** For everything the engine writes; default: a new one under the temporary directory. Keep it short: sockets live in it. */
  readonly directory?: string;
  /**
   * The daemon has no bridge (`"bridge": "none"` of many machines of a cloud), and runs in a network namespace of its own: in the
   * machine's it would delete `docker0`. Default false.
   */
  readonly withoutBridge?: boolean;
}

export interface PrivateEngine {
  /** Path of the unix socket; the same after every start. */
  readonly socket: string;
  readonly directory: string;
  /** Pid of dockerd; undefined while it is stopped. */
  readonly pid: number | undefined;
  /** Starts dockerd after stop() or kill(), with the same data. Resolves when it answers. */
  start(): Promise<void>;
  /** SIGTERM, and waits for the end. Without live-restore this stops the containers. */
  stop(): Promise<void>;
  /** SIGKILL. Containers go on, without live-restore until the next start. */
  kill(): Promise<void>;
  /** SIGSTOP: connections are accepted by the kernel, nothing is answered. */
  freeze(): void;
  thaw(): void;
  /** Removes containers, processes, mounts, bridge and directory. May be called more than once. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const directoryPrefix = 'relight-engine-';

export async function startPrivateEngine(options: PrivateEngineOptions = {}): Promise<PrivateEngine> {
  await ensurePrograms(enginePrograms, ownEngine);
  await removeAbandonedEngines();
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), directoryPrefix));
  mkdirSync(directory, { recursive: true });
  own(directory);
  const network = options.withoutBridge === true ? null : await createEngineNetwork();
  if (network !== null) writeFileSync(join(directory, 'bridge'), network.bridge);
  const socket = join(directory, 'docker.sock');
  const flags = [
    `--data-root=${join(directory, 'data')}`,
    `--exec-root=${join(directory, 'exec')}`,
    `--pidfile=${join(directory, 'dockerd.pid')}`,
    `--host=unix://${socket}`,
    `--containerd-namespace=${basename(directory)}`,
    `--containerd-plugins-namespace=${basename(directory)}-plugins`,
    // The default configuration file belongs to the machine's engine.
    `--config-file=${join(directory, 'daemon.json')}`,
    ...(options.liveRestore === true ? ['--live-restore'] : []),
    ...(network?.flags ?? ['--iptables=false', '--ip6tables=false', '--ip-masq=false', '--ip-forward=false']),
  ];
  writeFileSync(join(directory, 'daemon.json'), JSON.stringify(network === null ? { bridge: 'none' } : {}));
  const dockerd = findProgram('dockerd') ?? 'dockerd';
  const command = network === null ? ['unshare', '--net', dockerd, ...flags] : [dockerd, ...flags];
  const engine = new Dockerd(directory, socket, command);
  try {
    await engine.start();
  } catch (error) {
    await engine.dispose();
    throw error;
  }
  return engine;
}

class Dockerd implements PrivateEngine {
  readonly directory: string;
  readonly socket: string;
  readonly #command: readonly string[];
  #child: ChildProcess | undefined;

  constructor(directory: string, socket: string, command: readonly string[]) {
    this.directory = directory;
    this.socket = socket;
    this.#command = command;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error('the private engine is running already');
    // A daemon that was killed leaves its pid file; the next one refuses when that pid lives again as something else.
    rmSync(join(this.directory, 'dockerd.pid'), { force: true });
    const log = openSync(this.#logPath, 'a');
    // In a session of its own: Ctrl-C is for the tests, which then take the engine down in order.
    const [program = '', ...flags] = this.#command;
    const child = spawn(program, flags, {
      stdio: ['ignore', log, log],
      env: daemonEnvironment(this.directory),
      detached: true,
    });
    child.unref();
    closeSync(log);
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    await waitFor(
      () => {
        if (this.#child !== child) throw new Error(`dockerd exited with ${child.exitCode ?? child.signalCode}:\n${this.#logTail()}`);
        return answers(this.socket);
      },
      { timeoutMs: 120_000, everyMs: 50, what: `dockerd on ${this.socket} to answer` },
    );
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  freeze(): void {
    const child = this.#running();
    child.kill('SIGSTOP');
    waitUntilStopped(child.pid ?? 0);
  }

  thaw(): void {
    this.#running().kill('SIGCONT');
  }

  async dispose(): Promise<void> {
    await this.kill();
    await cleanDirectory(this.directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  get #logPath(): string {
    return join(this.directory, 'dockerd.log');
  }

  #running(): ChildProcess {
    if (this.#child === undefined) throw new Error('the private engine is not running');
    return this.#child;
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    child.kill(signal);
    child.kill('SIGCONT');
    await waitFor(() => this.#child !== child, { timeoutMs: 60_000, what: `dockerd ${child.pid} to end after ${signal}` });
    // Its containerd dies with it, a moment later. The next dockerd would take it, or its zombie, for alive and fail.
    const pidFile = join(this.directory, 'exec/containerd/containerd.pid');
    const containerd = Number(readText(pidFile) ?? 0);
    await waitFor(() => containerd === 0 || startTicks(containerd) === undefined, {
      timeoutMs: 60_000,
      what: `containerd ${containerd} to end`,
    });
    rmSync(pidFile, { force: true });
  }

  #logTail(): string {
    return readFileSync(this.#logPath, 'utf8').split('\n').slice(-20).join('\n');
  }
}

/** dockerd starts containerd and the userland proxy by name; both write what they have to say about hangs under TMPDIR. */
function daemonEnvironment(directory: string): NodeJS.ProcessEnv {
  const { PATH = '', ...rest } = process.env;
  return { ...rest, TMPDIR: directory, PATH: `${PATH}:/usr/local/sbin:/usr/sbin:/sbin` };
}

/** True once the engine answers; a refused connection is false. */
function answers(socketPath: string, timeoutMs = 2_000): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: '/_ping', agent: false, timeout: timeoutMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.once('timeout', () => call.destroy(new Error('timeout')));
    call.once('error', () => resolve(false));
    call.end();
  });
}

/** Engines whose owner is gone: it was killed. Never fails: what of them cannot be ended is in nobody's way. */
export async function removeAbandonedEngines(): Promise<void> {
  for (const directory of abandonedDirectories(directoryPrefix)) {
    const daemon = Number(readText(join(directory, 'dockerd.pid')) ?? 0);
    if (daemon > 0 && (readText(`/proc/${daemon}/cmdline`) ?? '').includes(directory)) signalProcess(daemon, 'SIGKILL');
    await cleanDirectory(directory).catch((error: unknown) => {
      console.error(`${directory} of an earlier run could not be removed: ${errorMessage(error)}`);
    });
  }
  await deleteAbandonedBridges().catch((error: unknown) => {
    console.error(`bridges of an earlier run could not be removed: ${errorMessage(error)}`);
  });
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
