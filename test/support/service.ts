/** A service of ours as a real process: started, stopped, killed, frozen, started again. Its output goes to a file. */
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { findProgram } from './engine-install.ts';
import { signalProcess } from './processes.ts';
import { waitFor } from './wait.ts';

export interface ServiceOptions {
  /** For messages: `collector`. */
  readonly name: string;
  /** Path of what is executed. Default: the Node that runs us, so that the first argument is a script. */
  readonly program?: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A program that executes the rest of its arguments: `['unshare', '--mount', 'sh', '-c', '… exec "$@"', 'sh']`. */
  readonly through?: readonly string[];
  /** Everything it prints is appended here. */
  readonly logFile: string;
  /** Whether it serves already; asked until it says yes. Default: as soon as it runs. */
  readonly isUp?: () => Promise<boolean>;
}

/** Ours without what the person at the terminal has set for a Relight of their own. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('RELIGHT_')));
}

/** Where util-linux is, a service does not outlive whoever started it, even when that one is killed with -9. */
function dyingWithUs(through: readonly string[], executed: string): readonly [string, ...string[]] {
  const setpriv = findProgram('setpriv');
  const [first, ...rest] = [...through, executed];
  return setpriv === undefined ? [first, ...rest] : [setpriv, '--pdeathsig', 'KILL', first, ...rest];
}

/** A machine that runs all tiers at once executes Node in seconds. */
const startTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;

export class Service {
  readonly #options: ServiceOptions;
  #child: ChildProcess | undefined;

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get logFile(): string {
    return this.#options.logFile;
  }

  /** Resolves when it is up; fails with its last output when it ends before. */
  async start(): Promise<void> {
    const { name, program: executed = process.execPath, args, env, through = [], logFile, isUp } = this.#options;
    if (this.#child !== undefined) throw new Error(`${name} runs already`);
    const log = openSync(logFile, 'a');
    // A process group of its own: Ctrl-C at the terminal is for whoever runs the lab, and that one stops us in order.
    const [program, ...before] = dyingWithUs(through, executed);
    const options = { stdio: ['ignore', log, log], detached: true, env: { ...cleanEnvironment(), ...env } } satisfies SpawnOptions;
    const child = spawn(program, [...before, ...args], options);
    closeSync(log);
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    await waitFor(
      () => {
        if (this.#child !== child) throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode}:\n${this.logTail()}`);
        return isUp?.() ?? true;
      },
      { timeoutMs: startTimeoutMs, everyMs: 10, what: `${name} to be up` },
    );
  }

  /** SIGTERM, and waits for the end. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** SIGKILL, and waits for the end. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** SIGSTOP: it lives, says nothing and answers nothing. */
  freeze(): void {
    signalProcess(this.#runningPid(), 'SIGSTOP');
  }

  thaw(): void {
    signalProcess(this.#runningPid(), 'SIGCONT');
  }

  logTail(lines = 20): string {
    if (!existsSync(this.logFile)) return '';
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #runningPid(): number {
    if (this.pid === undefined) throw new Error(`${this.#options.name} does not run`);
    return this.pid;
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    signalProcess(child.pid, signal);
    // A frozen process takes SIGTERM only after it goes on.
    signalProcess(child.pid, 'SIGCONT');
    await waitFor(() => this.#child !== child, {
      timeoutMs: stopTimeoutMs,
      everyMs: 5,
      what: `${this.#options.name} to end after ${signal}; its last words:\n${this.logTail(5)}`,
    });
  }
}
