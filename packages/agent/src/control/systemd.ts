/**
 * sd_notify(3). Node cannot open the datagram socket it needs, so `systemd-notify` says it for us; the unit must have
 * NotifyAccess=all. Without NOTIFY_SOCKET (not started by systemd) nothing is ever spawned.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { spawn } from 'node:child_process';

export interface SystemdOptions {
  /** NOTIFY_SOCKET is taken out of it: the commands that the agent runs must not speak in its name. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** Told once, when systemd cannot be told: it will kill the agent for not reporting, and the log should say why. */
  readonly onError: (message: string) => void;
}

const notifyDeadlineMs = 5_000;

export class Systemd {
  readonly #clock: Clock;
  readonly #onError: (message: string) => void;
  /** Null: nobody to tell. */
  readonly #env: NodeJS.ProcessEnv | null;
  readonly #watchdogMs: number | null;
  #timer: Timer | null = null;
  #failed = false;
  #running = false;

  constructor(options: SystemdOptions) {
    this.#clock = options.clock;
    this.#onError = options.onError;
    const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: pid, PATH: path } = options.env;
    this.#env = socket === undefined || socket === '' ? null : { NOTIFY_SOCKET: socket, ...(path === undefined ? {} : { PATH: path }) };
    const mine = pid === undefined || pid === String(process.pid);
    this.#watchdogMs = this.#env !== null && mine && Number(usec) > 0 ? Number(usec) / 1_000 : null;
    delete options.env['NOTIFY_SOCKET'];
    delete options.env['WATCHDOG_USEC'];
    delete options.env['WATCHDOG_PID'];
  }

  /** Call when the agent serves. From here on the watchdog is fed, as long as the event loop turns. */
  ready(status: string): void {
    void this.#notify(['READY=1', statusLine(status)]);
    this.#feed();
  }

  status(status: string): void {
    void this.#notify([statusLine(status)]);
  }

  /** Resolves when systemd has it, so that the process may end. */
  async stopping(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    await this.#notify(['STOPPING=1']);
  }

  /** Three times per period: one that is lost or late does not kill the agent. */
  #feed(): void {
    if (this.#watchdogMs === null) return;
    this.#timer = this.#clock.after(this.#watchdogMs / 3, () => {
      if (!this.#running) void this.#notify(['WATCHDOG=1']);
      this.#feed();
    });
  }

  async #notify(assignments: readonly string[]): Promise<void> {
    if (this.#env === null) return;
    const env = this.#env;
    this.#running = true;
    const failure = await new Promise<string | null>((resolve) => {
      const child = spawn('systemd-notify', assignments, { env, stdio: 'ignore', timeout: notifyDeadlineMs, killSignal: 'SIGKILL' });
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(code === 0 ? null : `exit ${code ?? signal}`));
    });
    this.#running = false;
    if (failure === null || this.#failed) return;
    this.#failed = true;
    this.#onError(`systemd-notify ${assignments[0]}: ${failure}`);
  }
}

/** One line: a newline would begin another assignment. */
const statusLine = (status: string): string => `STATUS=${status.replaceAll(/\p{Cc}+/gu, ' ')}`;
