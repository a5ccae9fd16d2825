/** One container of the fake engine: its life, its first process and its execs, all on the injected clock. */
import { type Clock, delay, type Timer } from '@relight/shared/clock';
import { RelightError, type ErrorCode } from '@relight/shared/errors';
import type { CreateOptions } from '../../packages/agent/src/engine/create-options.ts';
import type { ContainerFacts, ContainerStats } from '../../packages/agent/src/engine/engine.ts';
import { cancellation } from './fake-faults.ts';

/** How the first process of a container behaves. */
export interface ContainerScript {
  /** Ends by itself after this long; undefined: runs until it is stopped. */
  readonly runForMs?: number;
  /** Of an end by itself; default 0. */
  readonly exitCode?: number;
  /** The end by itself is the kernel's doing. */
  readonly oomKilled?: boolean;
  /** The start fails so. */
  readonly startError?: ErrorCode;
  /** Exit code on SIGTERM; undefined: ignores it, as a first process without handler does. */
  readonly onTerm?: number;
}

/** How a command in a container behaves. */
export interface ExecScript {
  readonly exitCode?: number;
  readonly stdout?: string;
  readonly stderr?: string;
  /** Default 0; Infinity: until its container ends. */
  readonly durationMs?: number;
  /** The command cannot be started. */
  readonly error?: ErrorCode;
}

export interface FakeContainerOptions {
  readonly id: string;
  readonly name: string;
  readonly body: CreateOptions;
  readonly script: ContainerScript;
  readonly clock: Clock;
  readonly emit: (action: string, attributes: Record<string, string>) => void;
}

export class FakeContainer {
  readonly id: string;
  name: string;
  readonly body: CreateOptions;
  /** May be replaced to change how the next start goes. */
  script: ContainerScript;
  /** Execs under way count as processes on top. */
  stats: ContainerStats = { cpuNs: 0, memoryBytes: 1 << 20, memoryLimitBytes: 1 << 30, pids: 1 };
  /** Execs under way: exec id → host pid. */
  readonly execs = new Map<string, number>();
  readonly #clock: Clock;
  readonly #emit: FakeContainerOptions['emit'];
  readonly #createdAt: number;
  #pid = 0;
  #startedAt: number | null = null;
  #finishedAt: number | null = null;
  #exitCode: number | null = null;
  #oomKilled = false;
  #error = '';
  #timer: Timer | undefined;
  #ended: (() => void)[] = [];

  constructor(options: FakeContainerOptions) {
    this.id = options.id;
    this.name = options.name;
    this.body = options.body;
    this.script = options.script;
    this.#clock = options.clock;
    this.#emit = options.emit;
    this.#createdAt = options.clock.now();
  }

  get isRunning(): boolean {
    return this.#pid !== 0;
  }

  get hostPorts(): readonly string[] {
    return Object.values(this.body.HostConfig.PortBindings ?? {})
      .flat()
      .map(({ HostPort }) => HostPort)
      .filter((port) => port !== '');
  }

  start(pid: number): void {
    const { startError, runForMs, exitCode = 0, oomKilled = false } = this.script;
    if (startError !== undefined) {
      this.#error = `scripted ${startError}`;
      throw new RelightError(startError, this.#error);
    }
    this.#pid = pid;
    this.#startedAt = this.#clock.now();
    this.#exitCode = null;
    this.#oomKilled = false;
    this.#error = '';
    this.#emit('start', {});
    if (runForMs !== undefined) this.#timer = this.#clock.after(runForMs, () => this.exit(exitCode, oomKilled));
  }

  exit(exitCode: number, oomKilled = false): void {
    if (!this.isRunning) return;
    this.#timer?.cancel();
    this.#pid = 0;
    this.#finishedAt = this.#clock.now();
    this.#exitCode = exitCode;
    this.#oomKilled = oomKilled;
    this.execs.clear();
    if (oomKilled) this.#emit('oom', {});
    this.#emit('die', { exitCode: String(exitCode) });
    for (const wake of this.#ended.splice(0)) wake();
  }

  signal(signal: string): void {
    const name = signal.replace(/^SIG/, '');
    if (name === 'KILL' || name === '9') this.exit(137);
    else if (name === 'TERM' && this.script.onTerm !== undefined) this.exit(this.script.onTerm);
  }

  /** Waits for a command of this length; true when the container ended before it. Fails with the signal's reason. */
  async attachedExec(pid: number, durationMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (durationMs === 0) return false;
    const execId = `exec-${pid}`;
    const ended = new Promise<true>((resolve) => void this.#ended.push(() => resolve(true)));
    const done = delay(this.#clock, durationMs, signal).then(() => false);
    this.execs.set(execId, pid);
    try {
      return await Promise.race([ended, done]);
    } catch (error) {
      throw cancellation(error);
    } finally {
      this.execs.delete(execId);
    }
  }

  async stop(graceMs: number): Promise<void> {
    if (!this.isRunning) return;
    const ended = new Promise<void>((resolve) => void this.#ended.push(resolve));
    this.signal('TERM');
    const timer = this.#clock.after(graceMs, () => this.exit(137));
    await ended;
    timer.cancel();
    this.#emit('stop', {});
  }

  /** False when it is over at once. */
  runExec(execId: string, pid: number, { durationMs = 0 }: ExecScript): boolean {
    const end = (): void => void this.execs.delete(execId);
    this.execs.set(execId, pid);
    if (durationMs === 0) end();
    else if (durationMs !== Number.POSITIVE_INFINITY) this.#clock.after(durationMs, end);
    return durationMs > 0;
  }

  facts(): ContainerFacts {
    const { body } = this;
    const status = this.isRunning ? 'running' : this.#startedAt === null ? 'created' : 'exited';
    return {
      id: this.id,
      name: this.name,
      image: body.Image,
      imageId: `sha256:${body.Image}`,
      labels: body.Labels,
      status,
      pid: this.#pid,
      createdAt: this.#createdAt,
      startedAt: this.#startedAt,
      finishedAt: this.#finishedAt,
      exitCode: this.#exitCode,
      oomKilled: this.#oomKilled,
      error: this.#error,
      restartPolicy: 'no',
      restartCount: 0,
      logDriver: body.HostConfig.LogConfig.Type,
      logPath: '',
      tty: body.Tty,
      user: body.User ?? '',
      runDirectory: body.HostConfig.Mounts.find(({ Target }) => Target === '/run/relight')?.Source ?? '',
    };
  }
}
